package peers

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"example.com/h1"
)

func TestNode(t *testing.T) {
	node := program(t, "node")
	dir, at := tree(t), ports(t, 3)
	run(t, at, node, filepath.Join("testdata", "server.js"), filepath.Join(dir, "www"), at[0], at[1], at[2],
		strconv.Itoa(limit), strconv.Itoa(maxBody))
	suite(t, &server{addr: at[0], limited: at[1], idle: at[2], small: "/small/", upgrade: "/echo", proxy: at[0],
		trailer: "/trailer", served: func(t *testing.T) []string {
			var resp h1.Response
			_, body, err := do(bounded(t), dial(t, "tcp", at[1], nil), &h1.Request{Target: "/seen"}, &resp)
			must(t, err)
			return strings.Fields(string(body))
		}})
}
