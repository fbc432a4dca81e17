// Package peers has tests alone: they drive h1 against servers that others wrote, namely
// nginx, Apache httpd, HAProxy, lighttpd, Varnish, Squid, Node and net/http.
//
//	./install.sh && go test ./...
//
// Each server is started on 127.0.0.1 with a configuration of its own in a temporary
// directory, and stopped at the end. One that is not installed is skipped. All servers get
// the same checks, in suite_test.go; what only some can do is a field of server.
//
// The program cmd/proxy puts h1http in the place of http.DefaultTransport.
package peers
