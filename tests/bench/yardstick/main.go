// Yardstick does what the webhook does with a ServiceExport, in Go and with the standard library alone: reads the
// review, says all that is wrong with the object, answers. And it answers Karmada whether an export is healthy.
// It logs a line a request, as the webhook does.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"strings"
	"time"
)

type rule struct {
	PortNumber *int    `json:"portNumber"`
	Path       *string `json:"path"`
	PathType   *string `json:"pathType"`
}

type object struct {
	Kind     string `json:"kind"`
	Metadata struct {
		Name              string            `json:"name"`
		Annotations       map[string]string `json:"annotations"`
		DeletionTimestamp *string           `json:"deletionTimestamp"`
	} `json:"metadata"`
	Spec *struct {
		Rules              []rule            `json:"rules"`
		PathRewrite        map[string]string `json:"pathRewrite"`
		LoadBalancer       *string           `json:"loadBalancer"`
		ServiceAccountName *string           `json:"serviceAccountName"`
		TargetClusters     []string          `json:"targetClusters"`
	} `json:"spec"`
	Status struct {
		Conditions []struct{ Type, Status string } `json:"conditions"`
	} `json:"status"`
}

type request struct {
	UID       string           `json:"uid"`
	Operation string           `json:"operation"`
	Namespace string           `json:"namespace"`
	Name      string           `json:"name"`
	Object    *object          `json:"object"`
	OldObject *json.RawMessage `json:"oldObject"`
}

type review struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Request    *request       `json:"request,omitempty"`
	Response   map[string]any `json:"response,omitempty"`
}

var (
	name     = regexp.MustCompile(`^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$`)
	unrouted = regexp.MustCompile(`//|/\.\.?(/|$)|%2[fF]`)
	unasked  = regexp.MustCompile(`[?#\s]`)
	account  = regexp.MustCompile(`^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*|\*|)$`)
	key      = regexp.MustCompile(`^([^/\s]([^/]*[^/\s])?/){3}[a-z0-9]([-.a-z0-9]*[a-z0-9])?$`)
	kept     = regexp.MustCompile(`^(Keep|Withdraw|WithdrawAfter=.+)?$`)
)

func problems(o *object) (found []string) {
	say := func(field, text string) { found = append(found, field+": "+text) }
	if !name.MatchString(o.Metadata.Name) {
		say("metadata.name", "must be the name of the Service to export")
	}
	if o.Spec == nil || len(o.Spec.Rules) == 0 {
		say("spec.rules", "nothing is exported: add a rule")
		return found
	}
	routes := map[string]int{}
	for i, r := range o.Spec.Rules {
		field := fmt.Sprintf("spec.rules[%d]", i)
		if r.PortNumber == nil || *r.PortNumber < 1 || *r.PortNumber > 65535 {
			say(field+".portNumber", "must be from 1 to 65535")
		}
		switch {
		case r.Path == nil || !strings.HasPrefix(*r.Path, "/"):
			say(field+".path", "path must begin with '/'")
		case unrouted.MatchString(*r.Path):
			say(field+".path", "path must not hold '//'")
		case unasked.MatchString(*r.Path):
			say(field+".path", "path must not hold '?'")
		}
		if r.PathType == nil || *r.PathType != "Prefix" && *r.PathType != "Exact" {
			say(field+".pathType", "must be Prefix or Exact")
		}
		if r.Path != nil && r.PathType != nil && r.PortNumber != nil {
			route := *r.PathType + strings.TrimSuffix(*r.Path, "/")
			if port, taken := routes[route]; taken && port != *r.PortNumber {
				say("spec.rules", "one path and two ports")
			}
			routes[route] = *r.PortNumber
		}
	}
	if (o.Spec.PathRewrite["from"] == "") != (o.Spec.PathRewrite["to"] == "") {
		say("spec.pathRewrite", "needs both")
	}
	if a := o.Spec.ServiceAccountName; a != nil && !account.MatchString(*a) {
		say("spec.serviceAccountName", "must be the name of a ServiceAccount")
	}
	seen := map[string]bool{}
	for i, k := range o.Spec.TargetClusters {
		if !key.MatchString(k) || seen[k] {
			say(fmt.Sprintf("spec.targetClusters[%d]", i), "must hold cluster keys")
		}
		seen[k] = true
	}
	return found
}

func warnings(o *object) (found []string) {
	if !kept.MatchString(o.Metadata.Annotations["towpath.io/when-unreachable"]) {
		found = append(found, "metadata.annotations[towpath.io/when-unreachable]: means nothing")
	}
	last := map[int]int{}
	for i, r := range o.Spec.Rules {
		last[*r.PortNumber] = i
	}
	for i, r := range o.Spec.Rules {
		switch {
		case last[*r.PortNumber] != i:
			found = append(found, fmt.Sprintf("spec.rules[%d].portNumber: the last counts", i))
		case *r.PathType == "Exact" || strings.Trim(*r.Path, "/") == "":
			found = append(found, fmt.Sprintf("spec.rules[%d].path: surprises", i))
		}
	}
	return found
}

func admission(q *request) map[string]any {
	answer := map[string]any{"uid": q.UID, "allowed": true}
	if q.Object == nil || q.Object.Metadata.DeletionTimestamp != nil {
		return answer
	}
	if wrong := problems(q.Object); len(wrong) > 0 {
		answer["allowed"] = false
		answer["status"] = map[string]any{"code": 422, "message": strings.Join(wrong, "; ")}
	} else if told := warnings(q.Object); len(told) > 0 {
		answer["warnings"] = told
	}
	return answer
}

func interpretation(q *request) map[string]any {
	answer := map[string]any{"uid": q.UID, "successful": true}
	if q.Operation == "InterpretHealth" {
		healthy := true
		for _, c := range q.Object.Status.Conditions {
			if c.Type == "Valid" && c.Status == "False" || c.Type == "Conflict" && c.Status == "True" {
				healthy = false
			}
		}
		answer["healthy"] = healthy
	}
	return answer
}

func main() {
	listen := flag.String("listen", "", "host:port")
	cert := flag.String("cert", "", "certificate")
	tlsKey := flag.String("key", "", "its key")
	flag.Parse()
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	serve := func(path string, answer func(*request) map[string]any) {
		http.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			began := time.Now()
			body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 3<<20))
			var asked review
			if err != nil || json.Unmarshal(body, &asked) != nil || asked.Request == nil || asked.Request.UID == "" {
				http.Error(w, "no question", http.StatusBadRequest)
				return
			}
			q := asked.Request
			said, _ := json.Marshal(review{APIVersion: asked.APIVersion, Kind: asked.Kind, Response: answer(q)})
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(said)
			log.Info("answered", "path", path, "uid", q.UID, "operation", q.Operation, "namespace", q.Namespace,
				"name", q.Name, "ms", float64(time.Since(began).Microseconds())/1000)
		})
	}
	serve("/validate/serviceexports", admission)
	serve("/interpret", interpretation)
	http.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	fmt.Fprintln(os.Stderr, http.ListenAndServeTLS(*listen, *cert, *tlsKey, nil))
}
