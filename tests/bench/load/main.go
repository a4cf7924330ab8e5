// Load asks one question again and again over TLS with kept connections, as an apiserver does, and tells how many
// answers a second it got and how long they took: as fast as they come, or at a rate.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

func main() {
	url := flag.String("url", "", "what to ask")
	ca := flag.String("ca", "", "whom to trust")
	body := flag.String("body", "", "file with the question")
	parallel := flag.Int("parallel", 8, "connections")
	rate := flag.Float64("rate", 0, "questions a second; 0: as many as are answered")
	seconds := flag.Float64("seconds", 3, "for how long")
	pid := flag.Int("pid", 0, "process whose CPU time counts")
	flag.Parse()
	question, err := os.ReadFile(*body)
	must(err)
	pem, err := os.ReadFile(*ca)
	must(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		MaxIdleConnsPerHost: *parallel,
		TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13},
	}}
	ask := func() {
		response, err := client.Post(*url, "application/json", bytes.NewReader(question))
		must(err)
		said, err := io.ReadAll(response.Body)
		must(err)
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			log.Fatalf("%s: %s", response.Status, said)
		}
	}
	var warming sync.WaitGroup
	for range *parallel { // handshakes are not what is measured
		warming.Add(1)
		go func() {
			defer warming.Done()
			for range 20 {
				ask()
			}
		}()
	}
	warming.Wait()

	before := spent(*pid)
	began := time.Now()
	end := began.Add(time.Duration(*seconds * float64(time.Second)))
	took := make([][]float64, *parallel)
	var asking sync.WaitGroup
	for n := range *parallel {
		asking.Add(1)
		go func() {
			defer asking.Done()
			for i := 0; ; i++ {
				due := time.Now()
				if *rate > 0 { // waiting for its turn is not the answer's time, but being late is
					turn := float64(i**parallel+n) / *rate
					due = began.Add(time.Duration(turn * float64(time.Second)))
					time.Sleep(time.Until(due))
				}
				if time.Now().After(end) {
					return
				}
				ask()
				took[n] = append(took[n], time.Since(due).Seconds())
			}
		}()
	}
	asking.Wait()
	lasted := time.Since(began).Seconds()
	cpu := spent(*pid) - before
	var all []float64
	for _, some := range took {
		all = append(all, some...)
	}
	sort.Float64s(all)
	must(json.NewEncoder(os.Stdout).Encode(map[string]float64{
		"rate": float64(len(all)) / lasted,
		"cpu":  cpu / float64(len(all)),
		"p50":  all[len(all)/2],
		"p99":  all[len(all)*99/100],
		"n":    float64(len(all)),
	}))
}

// spent returns the seconds of CPU that a process has taken, which Linux counts in hundredths.
func spent(pid int) float64 {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	must(err)
	_, numbers, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(numbers)
	user, err := strconv.ParseFloat(fields[11], 64)
	must(err)
	system, err := strconv.ParseFloat(fields[12], 64)
	must(err)
	return (user + system) / 100
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
