// Package server, of the timestamp authority: this file stands for its pkg/server/prometheus.go. There the port for
// metrics is fixed, and a second authority on one machine ends because of it; here the system chooses one.
package server

import (
	"net/http"
	"time"
)

// NewPrometheusServer creates a server that has no metrics to show.
func NewPrometheusServer(readTimeout, writeTimeout time.Duration) *http.Server {
	return &http.Server{
		Addr:         "127.0.0.1:0",
		ReadTimeout:  readTimeout,
		WriteTimeout: writeTimeout,
		Handler:      http.NotFoundHandler(),
	}
}
