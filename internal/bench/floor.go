package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"postern/certs"
)

// runFloor is the Go floor: the least that a gateway can do. It accepts TLS, reads a LOGIN, dials TLS, signs in by XOAUTH2
// with a constant token, and copies both ways. No policy, no store, no audit, no probe, no resumption.
func runFloor() error {
	files := certs.Files(certs.Pair{Cert: os.Args[1], Key: os.Args[2]}, "")
	store, err := certs.Open(context.Background(), certs.Config{Sources: []certs.Source{files}})
	if err != nil {
		return err
	}
	upstream, roots, err := upstreamOf(os.Args[3], os.Args[4])
	if err != nil {
		return err
	}
	upstream.RootCAs, upstream.ClientSessionCache = roots, nil
	listener, err := tls.Listen("tcp", os.Args[5], certs.ServerTLS(store.GetCertificate))
	if err != nil {
		return err
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go serveFloor(conn, os.Args[3], upstream)
	}
}

func serveFloor(client net.Conn, address string, config *tls.Config) {
	defer client.Close()
	_, _ = io.WriteString(client, "* OK ready\r\n")
	in := bufio.NewReader(client)
	line, err := in.ReadString('\n')
	tag, rest, _ := strings.Cut(line, " ")
	if err != nil || !strings.HasPrefix(rest, "LOGIN ") {
		return
	}
	upstream, err := tls.Dial("tcp", address, config)
	if err != nil {
		return
	}
	defer upstream.Close()
	up := bufio.NewReader(upstream)
	message := base64.StdEncoding.EncodeToString([]byte("user=scans@contoso.example\x01auth=Bearer " + strings.Repeat("t", 1500) + "\x01\x01"))
	if _, err := up.ReadString('\n'); err != nil {
		return
	}
	if _, err := fmt.Fprintf(upstream, "A AUTHENTICATE XOAUTH2 %s\r\n", message); err != nil {
		return
	}
	if _, err := up.ReadString('\n'); err != nil {
		return
	}
	if _, err := fmt.Fprintf(client, "%s OK done\r\n", tag); err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(upstream, in)
		_ = upstream.CloseWrite()
	}()
	_, _ = io.Copy(client, up)
}
