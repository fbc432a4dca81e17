package h1http

// socks.go: SOCKS5 (RFC 1928), with a user name and password where the proxy wants them
// (RFC 1929).
//
// Rule: names are resolved by the proxy. Each answer is read by its exact length, so that
// nothing is left over that belongs to the server.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"time"
)

var aLongTimeAgo = time.Unix(1, 0)

// socks5 asks the proxy behind nc for a connection to addr, until ctx ends.
func socks5(ctx context.Context, nc net.Conn, user *url.Userinfo, addr string) (err error) {
	stop := context.AfterFunc(ctx, func() { nc.SetDeadline(aLongTimeAgo) })
	defer func() {
		if !stop() { // nc may have been given a deadline that has passed
			err = context.Cause(ctx)
		}
		if err != nil {
			err = &net.OpError{Op: "socks connect", Net: "tcp", Err: err}
		}
	}()
	if err := socksGreet(nc, user); err != nil {
		return err
	}
	return socksConnect(nc, addr)
}

// The numbers of RFC 1928 and 1929.
const (
	socksVersion  = 5
	socksNoAuth   = 0
	socksPassword = 2
	socksIPv4     = 1
	socksName     = 3
	socksIPv6     = 4
)

// socksGreet agrees on a method of authentication, and authenticates.
func socksGreet(nc net.Conn, user *url.Userinfo) error {
	hello := []byte{socksVersion, 1, socksNoAuth}
	if user != nil {
		hello = []byte{socksVersion, 2, socksNoAuth, socksPassword}
	}
	var answer [2]byte
	if err := socksAsk(nc, hello, answer[:]); err != nil {
		return err
	}
	switch {
	case answer[0] != socksVersion:
		return fmt.Errorf("unexpected protocol version %d", answer[0])
	case answer[1] == socksNoAuth:
		return nil
	case answer[1] != socksPassword || user == nil:
		return errors.New("no acceptable authentication methods")
	}
	name := user.Username()
	password, _ := user.Password()
	if len(name) == 0 || len(name) > 255 || len(password) > 255 {
		return errors.New("invalid username/password")
	}
	login := append([]byte{1, byte(len(name))}, name...)
	login = append(append(login, byte(len(password))), password...)
	if err := socksAsk(nc, login, answer[:]); err != nil {
		return err
	}
	if answer[1] != 0 {
		return errors.New("username/password authentication failed")
	}
	return nil
}

// socksConnect asks for the connection.
func socksConnect(nc net.Conn, addr string) error {
	host, portText, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return err
	}
	ask := []byte{socksVersion, 1, 0} // CONNECT
	if ip, err := netip.ParseAddr(host); err == nil && ip.Zone() == "" {
		kind := byte(socksIPv6)
		if ip = ip.Unmap(); ip.Is4() {
			kind = socksIPv4
		}
		ask = append(append(ask, kind), ip.AsSlice()...)
	} else if len(host) > 255 {
		return errors.New("the host's name is too long")
	} else {
		ask = append(append(ask, socksName, byte(len(host))), host...)
	}
	ask = append(ask, byte(port>>8), byte(port))
	var answer [4]byte
	if err := socksAsk(nc, ask, answer[:]); err != nil {
		return err
	}
	if answer[0] != socksVersion {
		return fmt.Errorf("unexpected protocol version %d", answer[0])
	}
	if code := int(answer[1]); code != 0 {
		if code < len(socksReplies) {
			return errors.New(socksReplies[code])
		}
		return fmt.Errorf("unknown code %d", code)
	}
	return socksSkip(nc, answer[3])
}

// socksReplies are the reasons of RFC 1928, section 6.
var socksReplies = [...]string{
	"", "general SOCKS server failure", "connection not allowed by ruleset", "network unreachable",
	"host unreachable", "connection refused", "TTL expired", "command not supported", "address type not supported",
}

// socksSkip reads the address that the proxy connects from.
func socksSkip(nc net.Conn, kind byte) error {
	var n int
	switch kind {
	case socksIPv4:
		n = 4
	case socksIPv6:
		n = 16
	case socksName:
		var length [1]byte
		if _, err := io.ReadFull(nc, length[:]); err != nil {
			return err
		}
		n = int(length[0])
	default:
		return fmt.Errorf("unknown address type %d", kind)
	}
	_, err := io.ReadFull(nc, make([]byte, n+2))
	return err
}

func socksAsk(nc net.Conn, ask, answer []byte) error {
	if _, err := nc.Write(ask); err != nil {
		return err
	}
	_, err := io.ReadFull(nc, answer)
	return err
}
