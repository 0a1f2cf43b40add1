package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"log"
	"net"
	"net/http"
	"time"
)

// Limits of a connection. There is none on how long an answer takes: a layer
// may be large and a line slow. See writeWait.
const (
	headerWait = 10 * time.Second
	idleWait   = 2 * time.Minute
	maxHeader  = 32 << 10
)

// Listen answers what comes in at a listener, which it closes, until ctx ends.
// Pulls that are under way then have as long as patience to end; what is left
// is broken off. That is no error. A nil config is HTTP without TLS. Complain
// is told of connections that come to nothing, in lines of the library.
func Listen(ctx context.Context, l net.Listener, config *tls.Config, h http.Handler, patience time.Duration, complain *log.Logger) error {
	server := &http.Server{Handler: h, TLSConfig: config, ErrorLog: complain,
		ReadHeaderTimeout: headerWait, ReadTimeout: idleWait, IdleTimeout: idleWait, MaxHeaderBytes: maxHeader}
	ended := make(chan error, 1)
	go func() {
		if config != nil {
			ended <- server.ServeTLS(l, "", "")
		} else {
			ended <- server.Serve(l)
		}
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	err := server.Shutdown(ending)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close()
	}
	<-ended // always http.ErrServerClosed
	return err
}
