// Package trace carries a W3C traceparent from one node to the next.
package trace

import (
	"context"
	"errors"
	"net/http"

	"github.com/tochemey/goakt/v3/remote"
)

const (
	parentHeader = "traceparent"
	refuseHeader = "x-refuse"
)

type parentKey struct{}

type refuseKey struct{}

// WithParent returns a context that carries parent.
func WithParent(ctx context.Context, parent string) context.Context {
	return context.WithValue(ctx, parentKey{}, parent)
}

// Parent is what ctx carries, or nothing.
func Parent(ctx context.Context) string {
	parent, _ := ctx.Value(parentKey{}).(string)
	return parent
}

// WithRefusal returns a context with which the receiving node's Extract fails, saying why.
func WithRefusal(ctx context.Context, why string) context.Context {
	return context.WithValue(ctx, refuseKey{}, why)
}

// Propagator moves what this package puts into a context to headers and back.
type Propagator struct{}

var _ remote.ContextPropagator = Propagator{}

// Inject writes what ctx carries into headers.
func (Propagator) Inject(ctx context.Context, headers http.Header) error {
	if parent := Parent(ctx); parent != "" {
		headers.Set(parentHeader, parent)
	}
	if why, ok := ctx.Value(refuseKey{}).(string); ok {
		headers.Set(refuseHeader, why)
	}
	return nil
}

// Extract returns a context that carries what headers say.
func (Propagator) Extract(ctx context.Context, headers http.Header) (context.Context, error) {
	if why := headers.Get(refuseHeader); why != "" {
		return nil, errors.New(why)
	}
	if parent := headers.Get(parentHeader); parent != "" {
		ctx = WithParent(ctx, parent)
	}
	return ctx, nil
}
