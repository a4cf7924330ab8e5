// Caller asks webhooks as an apiserver does, at a rate, and tells how many calls failed.
//
// It trusts what a webhook configuration says at the moment, opens new connections all the time, and of
// several webhooks it asks only those that are ready. It ends when its standard input does.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A target is one webhook. Its transport is replaced now and then, so that connections are new.
type target struct {
	address string
	ready   atomic.Bool
	client  atomic.Pointer[http.Client]
}

// What is told at the end.
type told struct {
	Calls      int      `json:"calls"`
	Failed     int      `json:"failed"`
	Errors     []string `json:"errors"`
	Unready    int      `json:"unready"`
	Handshakes int      `json:"handshakes"`
	Serials    int      `json:"serials"`
	Issuers    int      `json:"issuers"`
	P99Ms      float64  `json:"p99_ms"`
}

// As many calls are under way at most: when a machine is slow, the rate is lower, not the wait longer.
const parallel = 16

var (
	pool     atomic.Pointer[x509.CertPool]
	mutex    sync.Mutex
	result   told
	serials  = map[string]bool{}
	issuers  = map[string]bool{}
	lasted   []time.Duration
	patience = 10 * time.Second // an apiserver's default
)

func main() {
	rate := flag.Int("rate", 500, "calls a second")
	path := flag.String("path", "/", "what to ask")
	targets := flag.String("targets", "", "host:port of each webhook, with commas between them")
	ca := flag.String("ca", "", "file with the CAs to trust")
	apiserver := flag.String("apiserver", "", "URL of the configuration whose caBundle to trust instead")
	identity := flag.String("identity", "", "folder with ca.crt, tls.crt, tls.key for that apiserver")
	flag.Parse()
	body, err := os.ReadFile(flag.Arg(0))
	must(err)

	stop := make(chan struct{})
	if *apiserver != "" {
		source := trustOf(*apiserver, *identity)
		must(source())
		go every(50*time.Millisecond, stop, func() { note(source()) })
	} else {
		pem, err := os.ReadFile(*ca)
		must(err)
		must(trust(pem))
	}
	var all []*target
	for _, address := range strings.Split(*targets, ",") {
		t := &target{address: address}
		t.client.Store(newClient())
		t.probe()
		all = append(all, t)
		go every(50*time.Millisecond, stop, t.probe)
		go every(500*time.Millisecond, stop, func() { t.client.Swap(newClient()).CloseIdleConnections() })
	}

	ended := make(chan struct{})
	go func() { _, _ = io.Copy(io.Discard, os.Stdin); close(ended) }()
	fmt.Println("calling")
	var callers sync.WaitGroup
	due := make(chan int)
	for range parallel {
		callers.Add(1)
		go func() {
			defer callers.Done()
			for n := range due {
				one(all, n, *path, body)
			}
		}()
	}
	tick := time.NewTicker(time.Second / time.Duration(*rate))
loop:
	for n := 0; ; n++ {
		select {
		case <-ended:
			break loop
		case <-tick.C:
			due <- n
		}
	}
	close(due)
	callers.Wait()
	close(stop)
	tell()
}

// one asks the next webhook that is ready.
func one(all []*target, n int, path string, body []byte) {
	for i := range all {
		t := all[(n+i)%len(all)]
		if t.ready.Load() {
			began := time.Now()
			err := t.ask(path, body)
			count(time.Since(began), err)
			return
		}
	}
	count(0, fmt.Errorf("no webhook is ready"))
}

func (t *target) ask(path string, body []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+t.address+path, bytes.NewReader(body))
	must(err)
	request.Header.Set("Content-Type", "application/json")
	response, err := t.client.Load().Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var review struct{ Response struct{ Allowed bool } }
	if err := json.NewDecoder(response.Body).Decode(&review); err != nil {
		return fmt.Errorf("%s: %w", response.Status, err)
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK || !review.Response.Allowed {
		return fmt.Errorf("answered %s", response.Status)
	}
	return nil
}

// probe asks for readiness, as a kubelet does.
func (t *target) probe() {
	client := http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	response, err := client.Get("https://" + t.address + "/readyz")
	ready := false
	if err == nil {
		response.Body.Close()
		ready = response.StatusCode == http.StatusOK
	}
	if t.ready.Swap(ready) && !ready {
		mutex.Lock()
		result.Unready++
		mutex.Unlock()
	}
}

// newClient trusts what is trusted when a connection begins.
func newClient() *http.Client {
	dialer := net.Dialer{}
	return &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: parallel,
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			raw, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			host, _, _ := net.SplitHostPort(address)
			conn := tls.Client(raw, &tls.Config{RootCAs: pool.Load(), ServerName: host, MinVersion: tls.VersionTLS13})
			if err := conn.HandshakeContext(ctx); err != nil {
				raw.Close()
				return nil, err
			}
			shown := conn.ConnectionState().PeerCertificates[0]
			mutex.Lock()
			result.Handshakes++
			if serial := shown.SerialNumber.String(); !serials[serial] {
				serials[serial] = true
				fmt.Println("shown", serial)
			}
			issuers[string(shown.AuthorityKeyId)] = true
			mutex.Unlock()
			return conn, nil
		},
	}}
}

// trustOf returns what takes over the CAs that a configuration has at the moment.
func trustOf(url, folder string) func() error {
	certificate, err := tls.LoadX509KeyPair(folder+"/tls.crt", folder+"/tls.key")
	must(err)
	pem, err := os.ReadFile(folder + "/ca.crt")
	must(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{certificate}}}}
	return func() error {
		response, err := client.Get(url)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		var read struct {
			Webhooks []struct{ ClientConfig struct{ CABundle []byte } }
		}
		if err := json.NewDecoder(response.Body).Decode(&read); err != nil {
			return err
		}
		if len(read.Webhooks) == 0 {
			return fmt.Errorf("%s: %s", url, response.Status)
		}
		return trust(read.Webhooks[0].ClientConfig.CABundle)
	}
}

func trust(pem []byte) error {
	fresh := x509.NewCertPool()
	if !fresh.AppendCertsFromPEM(pem) {
		return fmt.Errorf("no CA to trust")
	}
	pool.Store(fresh)
	return nil
}

func every(pause time.Duration, stop chan struct{}, do func()) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(pause):
			do()
		}
	}
}

func count(took time.Duration, err error) {
	mutex.Lock()
	defer mutex.Unlock()
	result.Calls++
	lasted = append(lasted, took)
	if err != nil {
		result.Failed++
	}
	keep(err)
}

func note(err error) {
	mutex.Lock()
	defer mutex.Unlock()
	keep(err)
}

func keep(err error) {
	if err != nil && len(result.Errors) < 5 {
		result.Errors = append(result.Errors, err.Error())
	}
}

func tell() {
	mutex.Lock()
	defer mutex.Unlock()
	result.Serials, result.Issuers = len(serials), len(issuers)
	sort.Slice(lasted, func(a, b int) bool { return lasted[a] < lasted[b] })
	if len(lasted) > 0 {
		result.P99Ms = float64(lasted[len(lasted)*99/100].Microseconds()) / 1000
	}
	must(json.NewEncoder(os.Stdout).Encode(result))
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
