package peers

import (
	"fmt"
	"path/filepath"
	"testing"
)

const varnishConf = `vcl 4.1;
backend origin { .host = "127.0.0.1"; .port = "%s"; }
sub vcl_recv {
	if (req.http.Upgrade) { return (pipe); }
	return (pass);
}
sub vcl_pipe {
	set bereq.http.Upgrade = req.http.Upgrade;
	set bereq.http.Connection = req.http.Connection;
}
`

// TestVarnish has net/http behind it, and keeps nothing of what that says.
func TestVarnish(t *testing.T) {
	varnishd := program(t, "varnishd")
	dir, at := tree(t), ports(t, 2)
	_, back := backend(t)
	conf := write(t, dir, "varnish.vcl", fmt.Sprintf(varnishConf, port(t, back)))
	sock := filepath.Join(dir, "tmp", "sock")
	for n, idle := range []int{60, 1} {
		args := []string{"-F", "-a", at[n], "-f", conf, "-n", filepath.Join(dir, "tmp", fmt.Sprint(n)),
			"-s", "malloc,16m", "-T", "none", "-p", fmt.Sprint("timeout_idle=", idle)}
		if n == 0 {
			args = append(args, "-a", sock)
		}
		run(t, at[n:n+1], varnishd, args...)
	}
	suite(t, &server{addr: at[0], idle: at[1], upgrade: "/echo", sums: true})
	t.Run("UnixSocket", func(t *testing.T) { unixSocket(t, sock) })
}
