package main

// plot.go: the growth curves and the headline, as SVG.

import (
	"fmt"
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// colours are the contestants', in every plot: Okabe and Ito's, which the colour-blind can
// tell apart.
var colours = map[string]color.Color{
	"floor":          color.RGBA{0x99, 0x99, 0x99, 0xff},
	"h1":             color.RGBA{0xd5, 0x5e, 0x00, 0xff},
	"HostClient":     color.RGBA{0x00, 0x72, 0xb2, 0xff},
	"PipelineClient": color.RGBA{0x56, 0xb4, 0xe9, 0xff},
	"ClientConn":     color.RGBA{0x00, 0x9e, 0x73, 0xff},
}

const plotWidth, plotHeight = 16 * vg.Centimeter, 10 * vg.Centimeter

// plot draws a curve, both axes logarithmic.
func (g curveResult) plot(file string) {
	p := plot.New()
	p.Title.Text = g.title
	p.X.Label.Text, p.Y.Label.Text = g.size, g.figure
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.X.Tick.Marker, p.Y.Tick.Marker = powers(count), powers(wall.text)
	p.Legend.Top, p.Legend.Left = true, true
	p.Add(plotter.NewGrid())
	for _, c := range g.results[0].contestants {
		points := make(plotter.XYs, len(g.points))
		for i, x := range g.points {
			points[i] = plotter.XY{X: float64(x), Y: g.results[i].median(c.name, wall)}
		}
		line, dots, err := plotter.NewLinePoints(points)
		check(err)
		line.Color, dots.Color = colours[c.name], colours[c.name]
		line.Width = vg.Points(1.5)
		p.Add(line, dots)
		p.Legend.Add(c.name, line)
	}
	check(p.Save(plotWidth, plotHeight, file))
}

// powers marks a logarithmic axis, with labels made by text.
func powers(text func(float64) string) plot.TickerFunc {
	return func(least, most float64) []plot.Tick {
		ticks := plot.LogTicks{}.Ticks(least, most)
		for i, t := range ticks {
			if t.Label != "" {
				ticks[i].Label = text(t.Value)
			}
		}
		return ticks
	}
}

// count prints a number that is a power of ten.
func count(v float64) string {
	for _, unit := range []string{"", "k", "M"} {
		if v < 1000 {
			return fmt.Sprintf("%.0f%s", v, unit)
		}
		v /= 1000
	}
	return fmt.Sprintf("%.0fG", v)
}

const headlineTitle = "wall time, as a multiple of h1's"

// plotHeadline draws the others' time as a multiple of h1's, for the rows over a stream
// that peers take part in.
func (rep report) plotHeadline(file string) {
	names := []string{"get", "tls", "depth16", "depth64", "pool64", "download", "relay", "chunks1k", "upload", "post1k"}
	others := []string{"floor", "HostClient", "PipelineClient", "ClientConn"}
	p := plot.New()
	p.Title.Text = headlineTitle
	p.Legend.Top, p.Legend.Left = true, true
	p.NominalX(names...)
	grid := plotter.NewGrid()
	grid.Vertical.Width = 0
	p.Add(grid)
	width := vg.Points(8)
	for i, other := range others {
		values := make(plotter.Values, len(names))
		for k, name := range names {
			if r := rep.of(name); r.has(other) {
				values[k] = r.against(other, "h1", wall)
			}
		}
		bars, err := plotter.NewBarChart(values, width)
		check(err)
		bars.Color, bars.LineStyle.Width = colours[other], 0
		bars.Offset = width * vg.Length(float64(i)-float64(len(others)-1)/2)
		p.Add(bars)
		p.Legend.Add(other, bars)
	}
	one := plotter.NewFunction(func(float64) float64 { return 1 })
	one.Color = colours["h1"]
	p.Add(one)
	p.Legend.Add("h1", one)
	check(p.Save(1.6*plotWidth, plotHeight, file))
}
