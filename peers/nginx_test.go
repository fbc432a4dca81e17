package peers

import (
	"fmt"
	"path/filepath"
	"testing"

	"example.com/h1/peers/internal/rig"
)

const nginxConf = `
	log_format target $uri;
	client_max_body_size 100m;
	keepalive_requests 100000;
	server {
		listen %[2]s;
		listen unix:%[1]s/sock;
		location /chunked/ { ssi on; ssi_types *; }
		location /up/ { dav_methods PUT; }
		location /small/ { dav_methods PUT; client_max_body_size 1m; }
		location /echo {
			proxy_pass http://%[5]s;
			proxy_http_version 1.1;
			proxy_set_header Upgrade $http_upgrade;
			proxy_set_header Connection upgrade;
		}
	}
	server {
		listen %[3]s;
		keepalive_requests %[6]d;
		location /chunked/ { ssi on; ssi_types *; }
		access_log %[1]s/limited.log target;
	}
	server {
		listen %[4]s;
		keepalive_timeout 1s;
	}
`

func TestNginx(t *testing.T) {
	program(t, "nginx")
	dir, at := tree(t), ports(t, 3)
	_, back := backend(t)
	p, err := rig.Nginx(dir, fmt.Sprintf(nginxConf, dir, at[0], at[1], at[2], back, limit), at)
	must(t, err)
	stopped(t, p)
	log := filepath.Join(dir, "limited.log")
	s := &server{addr: at[0], limited: at[1], idle: at[2], small: "/small/", upgrade: "/echo",
		served: func(t *testing.T) []string { return lines(t, log) }}
	suite(t, s)
	t.Run("UnixSocket", func(t *testing.T) { unixSocket(t, filepath.Join(dir, "sock")) })
}
