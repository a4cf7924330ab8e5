// A stand-in for pipy, the proxy that the walk-through uses as its application.
// It understands scripts of one form, that of the walk-through, and refuses all
// others:
//
//	pipy().listen(PORT).serveHTTP(() => new Message(PART + PART ...))
//
// where a PART is a string in quotes or os.env['NAME'].
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
	"regexp"
	"strings"
)

const part = `(?:'(?:[^'\\]|\\.)*'|os\.env\['[^']*'\])`

var (
	script = regexp.MustCompile(
		`^\s*pipy\(\)\s*\.listen\((\d+)\)\s*\.serveHTTP\(\s*\(\)\s*=>\s*new Message\(\s*(` +
			part + `(?:\s*\+\s*` + part + `)*)\s*\)\s*\)\s*$`)
	parts = regexp.MustCompile(part)
	escapes = strings.NewReplacer(`\n`, "\n", `\t`, "\t", `\'`, `'`, `\\`, `\`)
)

// answer returns the port to listen on and the text to answer with.
func answer(source string) (port, text string, err error) {
	found := script.FindStringSubmatch(source)
	if found == nil {
		return "", "", fmt.Errorf("this stand-in for pipy does not understand the script:\n%s", source)
	}
	for _, p := range parts.FindAllString(found[2], -1) {
		if name, ok := strings.CutPrefix(p, "os.env['"); ok {
			text += os.Getenv(strings.TrimSuffix(name, "']"))
		} else {
			text += escapes.Replace(p[1 : len(p)-1])
		}
	}
	return found[1], text, nil
}

func main() {
	if len(os.Args) != 3 || os.Args[1] != "-e" {
		log.Fatal("usage: pipy -e SCRIPT")
	}
	port, text, err := answer(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.ListenAndServe(":"+port, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, text)
	})))
}
