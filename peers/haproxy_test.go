package peers

import (
	"fmt"
	"testing"
	"time"
)

const haproxyConf = `
global
	nbthread 1
	maxconn 200
defaults
	mode http
	timeout connect 5s
	timeout client 60s
	timeout server 60s
	timeout http-keep-alive 60s
	default_backend origin
frontend main
	bind %[1]s
	http-request deny deny_status 413 if { path_beg /small/ } { req.hdr_val(content-length) gt %[4]d }
frontend limited
	bind %[2]s
	# there is no limit to set, so one path in ten ends its connection
	http-request set-var(txn.last) str(yes) if { path -m reg 9$ }
	http-after-response set-header Connection close if { var(txn.last) -m str yes }
	default_backend seen
frontend idle
	bind %[3]s
	timeout http-keep-alive 1s
	timeout client 1s
backend origin
	server a %[5]s
backend seen
	server a %[6]s
`

// TestHAProxy has net/http behind it.
func TestHAProxy(t *testing.T) {
	haproxy := program(t, "haproxy")
	dir, at := tree(t), ports(t, 3)
	o, back := backend(t)
	seen := o.serve(t, 1<<30, time.Minute)
	conf := write(t, dir, "haproxy.cfg", fmt.Sprintf(haproxyConf, at[0], at[1], at[2], maxBody, back, seen))
	run(t, at, haproxy, "-db", "-f", conf)
	suite(t, &server{addr: at[0], limited: at[1], idle: at[2], small: "/small/", upgrade: "/echo", proxy: at[0],
		trailer: "/trailer", served: o.served})
}
