// Package secure makes the TLS configuration of a node or client out of the files of interop-certs.
package secure

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	gtls "github.com/tochemey/goakt/v3/tls"
)

// SharedName is the name that all certificates have: GoAkt has one ServerName for all peers.
const SharedName = "goakt.internal"

// TLS12 is a version that rakt does not speak.
const TLS12 = tls.VersionTLS12

// Options are what a node or client is given.
type Options struct {
	Dir         string // where the files are; without it there is no TLS
	Certificate string // name of the pair of files; without it none is shown
	Roots       string // name of the file with the CAs that are trusted
	ServerName  string
	ClientAuth  bool // peers have to show a certificate
	MaxVersion  uint16
}

// Defaults are those of a node that talks to all that have certificates of the same CA.
func Defaults(dir string) Options {
	return Options{Dir: dir, Certificate: "go", Roots: "ca", ServerName: SharedName, ClientAuth: true}
}

// Flags reads the options from the command line.
func Flags() *Options {
	x := Defaults("")
	flag.StringVar(&x.Dir, "certs", "", "directory with certificates; without it there is no TLS")
	flag.StringVar(&x.Certificate, "certificate", x.Certificate, "what to show: the name of its files")
	flag.StringVar(&x.Roots, "roots", x.Roots, "whom to trust: the name of the file")
	flag.StringVar(&x.ServerName, "server-name", x.ServerName, "name that the certificates of peers have")
	flag.BoolVar(&x.ClientAuth, "client-auth", true, "clients have to show a certificate")
	flag.BoolFunc("tls12", "speak TLS 1.2", func(string) error {
		x.MaxVersion = TLS12
		return nil
	})
	return &x
}

// Info is what GoAkt takes; nil without TLS.
func (x Options) Info() (*gtls.Info, error) {
	if x.Dir == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(filepath.Join(x.Dir, x.Roots+".pem"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("no certificate in %s", x.Roots)
	}
	minVersion := uint16(tls.VersionTLS13)
	if x.MaxVersion != 0 {
		minVersion = x.MaxVersion
	}
	client := &tls.Config{RootCAs: roots, ServerName: x.ServerName, MinVersion: minVersion, MaxVersion: x.MaxVersion}
	server := &tls.Config{ClientCAs: roots, MinVersion: minVersion, MaxVersion: x.MaxVersion, SessionTicketsDisabled: true}
	if x.ClientAuth {
		server.ClientAuth = tls.RequireAndVerifyClientCert
	}
	if x.Certificate != "" {
		path := filepath.Join(x.Dir, x.Certificate)
		pair, err := tls.LoadX509KeyPair(path+".pem", path+".key")
		if err != nil {
			return nil, err
		}
		client.Certificates = []tls.Certificate{pair}
		server.Certificates = []tls.Certificate{pair}
	}
	return &gtls.Info{ClientConfig: client, ServerConfig: server}, nil
}
