// go-yaml reads YAML as Kubernetes, Helm and kustomize do: by go-yaml, version 2 and version 3. Each line of its input is a
// JSON string with a file's text; for each it prints a line of JSON with what both versions read.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"

	yaml2 "go.yaml.in/yaml/v2"
	yaml3 "go.yaml.in/yaml/v3"
)

// read is what a version read of a file: its documents, or why it reads none.
type read struct {
	Error     string `json:"error,omitempty"`
	Documents []any  `json:"documents,omitempty"`
}

// node is a node of a document: its kind, what it is to the reader, its text, and the line that it begins on.
type node struct {
	Kind  string `json:"kind"`
	Tag   string `json:"tag"`
	Value string `json:"value,omitempty"`
	Line  int    `json:"line,omitempty"`
	Items []any  `json:"items,omitempty"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	in := json.NewDecoder(bufio.NewReader(os.Stdin))
	out := bufio.NewWriter(os.Stdout)
	encoder := json.NewEncoder(out)
	for {
		var text string
		if err := in.Decode(&text); errors.Is(err, io.EOF) {
			return out.Flush()
		} else if err != nil {
			return err
		}
		if err := encoder.Encode(map[string]read{"v2": readBy2(text), "v3": readBy3(text)}); err != nil {
			return err
		}
	}
}

func readBy2(text string) read {
	var result read
	decoder := yaml2.NewDecoder(strings.NewReader(text))
	for {
		var document any
		if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
			return result
		} else if err != nil {
			return read{Error: err.Error()}
		}
		result.Documents = append(result.Documents, described2(document))
	}
}

// described2 tells apart what JSON does not: an integer, a float, a time and the string of the same text.
func described2(value any) node {
	switch value := value.(type) {
	case map[any]any:
		keys := make([]any, 0, len(value))
		for key := range value {
			keys = append(keys, key)
		}
		sort.Slice(keys, func(i, j int) bool { return fmt.Sprintf("%#v", keys[i]) < fmt.Sprintf("%#v", keys[j]) })
		items := make([]any, 0, 2*len(value))
		for _, key := range keys {
			items = append(items, described2(key), described2(value[key]))
		}
		return node{Kind: "map", Items: items}
	case []any:
		items := make([]any, 0, len(value))
		for _, item := range value {
			items = append(items, described2(item))
		}
		return node{Kind: "list", Items: items}
	default:
		return node{Kind: "scalar", Tag: fmt.Sprintf("%T", value), Value: fmt.Sprint(value)}
	}
}

func readBy3(text string) read {
	var result read
	decoder := yaml3.NewDecoder(strings.NewReader(text))
	for {
		var document yaml3.Node
		if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
			return result
		} else if err != nil {
			return read{Error: err.Error()}
		}
		result.Documents = append(result.Documents, described3(&document))
	}
}

func described3(found *yaml3.Node) node {
	kinds := map[yaml3.Kind]string{
		yaml3.DocumentNode: "document", yaml3.MappingNode: "map", yaml3.SequenceNode: "list",
		yaml3.ScalarNode: "scalar", yaml3.AliasNode: "alias",
	}
	result := node{Kind: kinds[found.Kind], Tag: found.ShortTag(), Value: found.Value, Line: found.Line}
	for _, item := range found.Content {
		result.Items = append(result.Items, described3(item))
	}
	return result
}
