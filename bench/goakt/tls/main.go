// Go's crypto/tls as a contestant of the benchmark, without any library of actors: frames over one connection, each side
// verified by the other. Package common says what it can be told to do; --certificates is needed for either half.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"bench/goakt/common"

	"google.golang.org/protobuf/proto"
)

func main() {
	common.Main("go tls", start, nil)
}

// system is a server with its counters, or a client with its connection.
type system struct {
	listener net.Listener
	counters map[string]*counter
	config   *tls.Config
	server   string
	conn     *client
}

func start(opts common.Options) (common.System, error) {
	config, err := mutual(opts.Certificates)
	if err != nil {
		return nil, err
	}
	s := &system{counters: map[string]*counter{}, config: config}
	if opts.Half == "serve" {
		s.listener, err = tls.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", opts.Port), config)
		return s, err
	}
	s.server = fmt.Sprintf("%s:%d", opts.Host, opts.Port)
	s.conn, err = dial(s.server, config)
	return s, err
}

// mutual is TLS 1.3 with the certificate, the key and the CA of the folder, for both halves.
func mutual(folder string) (*tls.Config, error) {
	in := func(name string) string { return filepath.Join(folder, name) }
	own, err := tls.LoadX509KeyPair(in("node.pem"), in("node.key"))
	if err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(in("ca.pem"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("ca.pem has no certificate")
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{own},
		RootCAs:      roots,
		ClientCAs:    roots,
		ClientAuth:   tls.RequireAndVerifyClientCert,
		// Full records from the first one on.
		DynamicRecordSizingDisabled: true,
	}, nil
}

// Port of the server; connections are taken from here on, when all counters are known.
func (s *system) Port() int {
	go s.accept()
	return s.listener.Addr().(*net.TCPAddr).Port
}

func (s *system) Spawn(name string) (common.Target, error) {
	s.counters[name] = new(counter)
	return nil, nil
}

func (s *system) Find(name string) (common.Target, error) {
	return far{s.conn, name}, nil
}

func (s *system) Visit(name string, question proto.Message) (leave func(), err error) {
	conn, err := dial(s.server, s.config)
	if err != nil {
		return nil, err
	}
	_, err = far{conn, name}.Ask(question)
	return func() { conn.stream.Close() }, err
}
