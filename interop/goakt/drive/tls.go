package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"

	"github.com/tochemey/goakt/v3/address"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"rakt/interop/goakt/internal/actors"
	"rakt/interop/goakt/internal/secure"
)

// Nodes of the suite tls, by what they are given. Each is started when the first check needs it.
var (
	strictNode    = []string{}
	anonymousNode = []string{"--anonymous", "true"}
	plainNode     = []string{"--certs", ""}
	secretNode    = []string{"--secret", "true"}
)

func tlsChecks() []check {
	return []check{
		{name: "no certificate", run: func(ctx context.Context, x *target) error {
			return x.expectRefused(ctx, strictNode, anonymous,
				"remote error: tls: certificate required", "it has shown no certificate, and this node asks for one")
		}},
		{name: "no certificate, where anonymous clients are taken", run: func(ctx context.Context, x *target) error {
			return x.expectTaken(ctx, anonymousNode, anonymous)
		}},
		{name: "no certificate, and what anonymous clients may not do", run: func(ctx context.Context, x *target) error {
			return x.with(anonymousNode, anonymous, func(x *target, _ *raktNode) error {
				_, err := x.ask(ctx, actors.CounterName, wrapperspb.String(""), askTimeout)
				return expectContains(err, "by anonymous")
			})
		}},
		{name: "another server name", run: func(ctx context.Context, x *target) error {
			return x.expectRefused(ctx, strictNode, func(o *secure.Options) { o.ServerName = "other.internal" },
				"tls: failed to verify certificate: x509: certificate is valid for goakt.internal, not other.internal",
				"it does not accept this node's certificate")
		}},
		{name: "no server name", run: func(ctx context.Context, x *target) error {
			return x.expectRefused(ctx, strictNode, func(o *secure.Options) { o.ServerName = "" },
				"tls: either ServerName or InsecureSkipVerify must be specified in the tls.Config", "")
		}},
		{name: "the IP address as the server name", run: func(ctx context.Context, x *target) error {
			return x.expectTaken(ctx, strictNode, func(o *secure.Options) { o.ServerName = x.host })
		}},
		{name: "another CA is trusted", run: func(ctx context.Context, x *target) error {
			return x.expectRefused(ctx, strictNode, func(o *secure.Options) { o.Roots = "other/ca" },
				"x509: certificate signed by unknown authority", "it does not accept this node's certificate")
		}},
		{name: "a certificate of another CA", run: func(ctx context.Context, x *target) error {
			return x.expectRefused(ctx, strictNode, func(o *secure.Options) { o.Certificate = "other/go" },
				"remote error: tls: unknown certificate authority", "not issued by a CA that this node trusts")
		}},
		{name: "TLS 1.2", run: func(ctx context.Context, x *target) error {
			return x.expectRefused(ctx, strictNode, func(o *secure.Options) { o.MaxVersion = secure.TLS12 },
				"remote error: tls: protocol version not supported", "it speaks no TLS 1.3")
		}},
		{name: "no TLS, to a node with TLS", run: func(ctx context.Context, x *target) error {
			// EOF, or a reset connection if the node has not read all of the request.
			return x.expectRefused(ctx, strictNode, func(o *secure.Options) { o.Dir = "" },
				"", "this node takes TLS only")
		}},
		{name: "TLS, to a node without", run: func(ctx context.Context, x *target) error {
			return x.expectRefused(ctx, plainNode, func(*secure.Options) {},
				"remote error: tls: unexpected message", "TLS")
		}},
		{name: "a shared secret", run: func(ctx context.Context, x *target) error {
			return x.expectTaken(ctx, secretNode, bySecret)
		}},
		{name: "a shared secret, and a certificate of a CA", run: func(ctx context.Context, x *target) error {
			return x.expectRefused(ctx, secretNode, func(o *secure.Options) {
				bySecret(o)
				o.Certificate = "go"
			}, "remote error: tls: unknown certificate authority", "does not come of a secret, and this node goes by one")
		}},
	}
}

// anonymous shows no certificate.
func anonymous(options *secure.Options) { options.Certificate = "" }

// bySecret has what was issued under the secret.
func bySecret(options *secure.Options) {
	options.Certificate, options.Roots, options.ServerName = "secret/go", "secret/ca", "rakt.internal"
}

// with is a client of a rakt node, with other options than usual.
func (x *target) with(node []string, change func(*secure.Options), do func(*target, *raktNode) error) error {
	at, err := x.nodeWith(node)
	if err != nil {
		return err
	}
	options := x.certs
	change(&options)
	info, err := options.Info()
	if err != nil {
		return err
	}
	other := *x
	other.port, other.tls, other.remoting = at.port, info, newRemoting(x.compression, info)
	defer other.remoting.Close()
	return do(&other, at)
}

func (x *target) expectTaken(ctx context.Context, node []string, change func(*secure.Options)) error {
	return x.with(node, change, func(x *target, _ *raktNode) error { return x.echoes(ctx) })
}

// expectRefused is for what a client and the log of the node are to say.
func (x *target) expectRefused(ctx context.Context, node []string, change func(*secure.Options), text, logged string) error {
	return x.with(node, change, func(x *target, at *raktNode) error {
		before := at.log.len()
		if err := expectContains(x.echoes(ctx), text); err != nil {
			return err
		}
		return until(ctx, fmt.Sprintf("%q in the log", logged), func() (bool, error) {
			return strings.Contains(at.log.from(before), logged), nil
		})
	})
}

func (x *target) echoes(ctx context.Context) error {
	return x.expectEcho(ctx, x.address(actors.EchoName), address.NoSender(), wrapperspb.String("is it you?"))
}

func expectContains(err error, text string) error {
	if err == nil || !strings.Contains(err.Error(), text) {
		return fmt.Errorf("error %v, without: %s", err, text)
	}
	return nil
}

// raktNode is one that was started here; it ends with this process, whose end of its standard input is closed then.
type raktNode struct {
	port int
	log  *logged
}

// logged is what a node has written to its log.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer.
func (x *logged) Write(bytes []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.text.Write(bytes)
}

func (x *logged) len() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.text.Len()
}

func (x *logged) from(offset int) string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.text.String()[offset:]
}

// nodeWith is a node with these arguments, the same for all checks.
func (x *target) nodeWith(args []string) (*raktNode, error) {
	key := strings.Join(args, " ")
	if known := x.nodes[key]; known != nil {
		return known, nil
	}
	args = append([]string{"--system", x.system, "--certs", x.certs.Dir}, args...)
	command := exec.Command(x.node, args...)
	command.Env = append(os.Environ(), "RUST_LOG=rakt=warn", "NO_COLOR=1")
	node := &raktNode{log: &logged{}}
	command.Stderr = node.log
	// Never closed here.
	if _, err := command.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(io.LimitReader(stdout, 1024)).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, node.log.from(0))
	}
	if _, err := fmt.Sscanf(line, "ready %d", &node.port); err != nil {
		return nil, fmt.Errorf("%q: %w", line, err)
	}
	x.nodes[key] = node
	return node, nil
}
