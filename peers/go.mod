module example.com/h1/peers

go 1.25

require (
	example.com/h1 v0.0.0
	github.com/coder/websocket v1.8.15
)

replace example.com/h1 => ../
