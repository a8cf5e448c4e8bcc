package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"postern/certs"
)

// upstreamOf gives the TLS configuration for an address and the roots in a file.
func upstreamOf(address, caFile string) (*tls.Config, *x509.CertPool, error) {
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, nil, errors.New("no certificate in " + caFile)
	}
	host, _, err := net.SplitHostPort(address)
	return certs.UpstreamTLS(host, roots), roots, err
}

const (
	// fetchSize is the size of the message that FETCH gives, in bytes, and smallFetch that of BODY.PEEK.
	fetchSize  = 64 << 20
	smallFetch = 64 << 10
)

// serveIMAPUpstream is an IMAP server that takes any sign-in and answers as fast as it can.
func serveIMAPUpstream(listener net.Listener) {
	content := bytes.Repeat([]byte("0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnop\r\n"), fetchSize/64)
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go answerIMAP(conn, content)
	}
}

func answerIMAP(conn net.Conn, content []byte) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	if _, err := io.WriteString(conn, "* OK [CAPABILITY IMAP4rev1 SASL-IR LITERAL+ AUTH=XOAUTH2 AUTH=PLAIN] ready\r\n"); err != nil {
		return
	}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		tag, rest, _ := strings.Cut(strings.TrimSuffix(line, "\r\n"), " ")
		verb, arguments, _ := strings.Cut(rest, " ")
		var answer string
		switch verb {
		case "CAPABILITY":
			answer = "* CAPABILITY IMAP4rev1 SASL-IR LITERAL+ IDLE\r\n"
		case "STATUS":
			answer = "* STATUS INBOX (MESSAGES 1)\r\n"
		case "LOGOUT":
			answer = "* BYE\r\n"
		case "FETCH":
			size := fetchSize
			if strings.Contains(arguments, "PEEK") {
				size = smallFetch
			}
			if _, err := fmt.Fprintf(conn, "* 1 FETCH (BODY[] {%d}\r\n", size); err != nil {
				return
			}
			if _, err := conn.Write(content[:size]); err != nil {
				return
			}
			answer = ")\r\n"
		}
		if _, err := io.WriteString(conn, answer+tag+" OK done\r\n"); err != nil || verb == "LOGOUT" {
			return
		}
	}
}

// serveSMTPUpstream is a submission server that takes any sign-in and any message, and answers as fast as it can.
func serveSMTPUpstream(listener net.Listener, config *tls.Config) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go answerSMTP(conn, config)
	}
}

func answerSMTP(conn net.Conn, config *tls.Config) {
	defer func() { _ = conn.Close() }()
	in := bufio.NewReaderSize(conn, 64<<10)
	say := func(s string) bool { _, err := io.WriteString(conn, s+"\r\n"); return err == nil }
	if !say("220 upstream ESMTP") {
		return
	}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		verb, _, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(line)), " ")
		switch verb {
		case "EHLO":
			say("250-upstream\r\n250-SIZE 157286400\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-STARTTLS\r\n250 AUTH XOAUTH2 PLAIN LOGIN")
		case "STARTTLS":
			say("220 go")
			encrypted := tls.Server(conn, config)
			if encrypted.Handshake() != nil {
				return
			}
			conn, in = encrypted, bufio.NewReaderSize(encrypted, 64<<10)
		case "AUTH":
			say("235 2.7.0 ok")
		case "DATA":
			say("354 go")
			if !skipMessage(in) {
				return
			}
			say("250 2.0.0 OK queued")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 2.0.0 OK")
		}
	}
}

// skipMessage reads a message away.
func skipMessage(in *bufio.Reader) bool {
	for {
		line, err := in.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return false
		}
		if string(line) == ".\r\n" {
			return true
		}
	}
}
