// Package server of the timestamp authority: this file replaces pkg/server/prometheus.go. The original has a fixed port for
// metrics, so a second authority on the same machine exits. Here the system chooses the port.
package server

import (
	"net/http"
	"time"
)

// NewPrometheusServer creates a server without metrics.
func NewPrometheusServer(readTimeout, writeTimeout time.Duration) *http.Server {
	return &http.Server{
		Addr:         "127.0.0.1:0",
		ReadTimeout:  readTimeout,
		WriteTimeout: writeTimeout,
		Handler:      http.NotFoundHandler(),
	}
}
