// Package rig starts servers that others wrote, for the tests and programs of this module.
package rig

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Program finds a program, also where the path of a user has no sbin.
func Program(name string) (string, error) {
	for _, p := range []string{name, "/usr/sbin/" + name, "/usr/local/sbin/" + name} {
		if path, err := exec.LookPath(p); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed (see install.sh)", name)
}

// Ports returns n addresses on loopback that nobody listens on.
func Ports(n int) ([]string, error) {
	var addrs []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // all of them at the end, so that they differ
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}

// A Process is a program that runs.
type Process struct {
	name  string
	cmd   *exec.Cmd
	out   bytes.Buffer // read after Wait
	ended chan struct{}
}

// Start runs a program and returns once it listens on all those addresses.
func Start(listens []string, name string, args ...string) (*Process, error) {
	p := &Process{name: name, cmd: exec.Command(name, args...), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	p.cmd.WaitDelay = 5 * time.Second
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { p.cmd.Wait(); close(p.ended) }()
	for _, addr := range listens {
		if err := p.await(addr); err != nil {
			return nil, fmt.Errorf("%s: %w: %s", name, err, p.Stop())
		}
	}
	return p, nil
}

// await returns once somebody listens on addr.
func (p *Process) await(addr string) error {
	for until := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if nc, err := net.Dial("tcp", addr); err == nil {
			nc.Close()
			return nil
		}
		select {
		case <-p.ended:
			return errors.New("ended at once")
		default:
		}
		if time.Now().After(until) {
			return errors.New("does not listen on " + addr)
		}
	}
}

// Stop ends the program and returns all that it said.
func (p *Process) Stop() string {
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(5 * time.Second):
		p.cmd.Process.Kill()
		<-p.ended
	}
	return p.out.String()
}

// nginxConf has what every nginx here needs to run in the foreground and in one directory.
const nginxConf = `
daemon off;
master_process off;
pid %[1]s/pid;
error_log stderr error;
events {}
http {
	access_log off;
	default_type application/octet-stream;
	root %[1]s/www;
	client_body_temp_path %[1]s/tmp/body;
	proxy_temp_path %[1]s/tmp/proxy;
	fastcgi_temp_path %[1]s/tmp/fastcgi;
	uwsgi_temp_path %[1]s/tmp/uwsgi;
	scgi_temp_path %[1]s/tmp/scgi;
	%[2]s
}
`

// Nginx runs nginx with those directives in its http block. In dir there must be www, which
// it serves, and tmp.
func Nginx(dir, directives string, listens []string) (*Process, error) {
	nginx, err := Program("nginx")
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, nginxConf, dir, directives), 0o644); err != nil {
		return nil, err
	}
	return Start(listens, nginx, "-p", dir, "-e", "stderr", "-c", conf)
}
