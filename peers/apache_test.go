package peers

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Debian's layout; elsewhere the directory of modules is found by its name too.
var apacheModules = []string{"/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/libexec/apache2"}

const apacheConf = `
ServerName peer.test
ServerRoot %[1]s
PidFile %[1]s/pid
DefaultRuntimeDir %[1]s
Mutex file:%[1]s/tmp
LoadModule mpm_event_module %[2]s/mod_mpm_event.so
LoadModule authz_core_module %[2]s/mod_authz_core.so
LoadModule include_module %[2]s/mod_include.so
LoadModule dav_module %[2]s/mod_dav.so
LoadModule dav_fs_module %[2]s/mod_dav_fs.so
LoadModule proxy_module %[2]s/mod_proxy.so
LoadModule proxy_http_module %[2]s/mod_proxy_http.so
LoadModule proxy_connect_module %[2]s/mod_proxy_connect.so
%[3]s
ErrorLog /dev/stderr
LogLevel error
LogFormat "%%U" target
StartServers 1
ThreadsPerChild 16
MaxRequestWorkers 16
MinSpareThreads 1
MaxSpareThreads 16
DAVLockDB %[1]s/tmp/dav
DocumentRoot %[1]s/www
KeepAlive On
KeepAliveTimeout 60
MaxKeepAliveRequests 0
<Directory %[1]s/www>
	Require all granted
	Options +Includes
</Directory>
<Location /chunked>
	SetOutputFilter INCLUDES
</Location>
<Location /up>
	DAV On
</Location>
<Location /small>
	DAV On
	LimitRequestBody %[9]d
</Location>
Listen %[4]s
Listen %[5]s
Listen %[6]s
<VirtualHost %[4]s>
	ProxyRequests On
	AllowCONNECT 1-65535
	ProxyPass /echo http://%[7]s/echo upgrade=ANY
</VirtualHost>
<VirtualHost %[5]s>
	MaxKeepAliveRequests %[8]d
	CustomLog %[1]s/limited.log target
</VirtualHost>
<VirtualHost %[6]s>
	KeepAliveTimeout 1
</VirtualHost>
`

func TestApache(t *testing.T) {
	apache := program(t, "apache2")
	var modules string
	for _, dir := range apacheModules {
		if _, err := os.Stat(dir); err == nil {
			modules = dir
		}
	}
	if modules == "" {
		t.Skip("apache2's modules are not found")
	}
	var user string
	if isRoot() { // it does not serve as root
		user = "User www-data\nGroup www-data"
	}
	dir, at := tree(t), ports(t, 3)
	_, back := backend(t)
	conf := write(t, dir, "apache.conf",
		fmt.Sprintf(apacheConf, dir, modules, user, at[0], at[1], at[2], back, limit, maxBody))
	run(t, at, apache, "-D", "FOREGROUND", "-f", conf)
	log := filepath.Join(dir, "limited.log")
	suite(t, &server{addr: at[0], limited: at[1], idle: at[2], small: "/small/", upgrade: "/echo", proxy: at[0],
		sums:   true, // its content length filter
		served: func(t *testing.T) []string { return lines(t, log) }})
}
