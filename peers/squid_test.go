package peers

import (
	"fmt"
	"path/filepath"
	"testing"
)

// A port is for HTTP in front of a server, another for CONNECT to any.
const squidConf = `
http_port %[2]s accel defaultsite=peer.test no-vhost
http_port %[3]s
acl proxied localport %[5]s
cache_peer 127.0.0.1 parent %[4]s 0 no-query no-digest originserver name=origin
cache_peer_access origin deny proxied
never_direct allow !proxied
http_access allow all
cache deny all
pipeline_prefetch 7
client_idle_pconn_timeout %[6]d seconds
shutdown_lifetime 0 seconds
pinger_enable off
pid_filename none
coredump_dir %[1]s
cache_log /dev/null
access_log none
`

// TestSquid has net/http behind it. It has one time for all that are idle, and so runs
// twice.
func TestSquid(t *testing.T) {
	squid := program(t, "squid")
	dir, at := tree(t), ports(t, 4)
	_, back := backend(t)
	for n, idle := range []int{60, 1} {
		mine := at[2*n : 2*n+2]
		conf := write(t, dir, fmt.Sprintf("squid%d.conf", n), fmt.Sprintf(squidConf,
			filepath.Join(dir, "tmp"), mine[0], mine[1], port(t, back), port(t, mine[1]), idle))
		run(t, mine, squid, "-N", "-d", "1", "-n", fmt.Sprint("h1peers", n), "-f", conf)
	}
	suite(t, &server{addr: at[0], idle: at[2], proxy: at[1]})
}
