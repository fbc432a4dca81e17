package peers

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"
)

// Files are its own; the rest, and what is chunked, comes from net/http.
const lighttpdConf = `
server.bind = "127.0.0.1"
server.port = %[2]s
server.document-root = "%[1]s/www"
server.upload-dirs = ("%[1]s/tmp")
server.modules = ("mod_proxy")
server.max-keep-alive-idle = 60
server.max-keep-alive-requests = 100000
server.stream-response-body = 1
$HTTP["url"] !~ "^/(f/|big$)" {
	proxy.server = ("" => (("host" => "127.0.0.1", "port" => %[5]s)))
	proxy.header = ("upgrade" => "enable")
}
$HTTP["url"] =~ "^/small/" { server.max-request-size = 1024 }
$SERVER["socket"] == "127.0.0.1:%[3]s" {
	server.max-keep-alive-requests = %[7]d
	proxy.server = ("" => (("host" => "127.0.0.1", "port" => %[6]s)))
}
$SERVER["socket"] == "127.0.0.1:%[4]s" { server.max-keep-alive-idle = 1 }
$SERVER["socket"] == "%[1]s/sock" { }
`

func TestLighttpd(t *testing.T) {
	lighttpd := program(t, "lighttpd")
	dir, at := tree(t), ports(t, 3)
	o, back := backend(t)
	seen := o.serve(t, 1<<30, time.Minute)
	conf := write(t, dir, "lighttpd.conf", fmt.Sprintf(lighttpdConf,
		dir, port(t, at[0]), port(t, at[1]), port(t, at[2]), port(t, back), port(t, seen), limit-1))
	run(t, at, lighttpd, "-D", "-f", conf)
	suite(t, &server{addr: at[0], limited: at[1], idle: at[2], small: "/small/", upgrade: "/echo",
		sums: true, served: o.served})
	t.Run("UnixSocket", func(t *testing.T) { unixSocket(t, filepath.Join(dir, "sock")) })
}
