// flux-event reads one event as Flux's notification controller does: into the type of Flux's own module. It refuses what the
// type does not have or what the rules at its fields forbid, and prints what alerts would make of it.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"unicode/utf8"

	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	decoder := json.NewDecoder(os.Stdin)
	decoder.DisallowUnknownFields()
	var event eventv1.Event
	if err := decoder.Decode(&event); err != nil {
		return err
	}
	if decoder.More() {
		return fmt.Errorf("there is more than one event")
	}
	switch event.Severity {
	case eventv1.EventSeverityTrace, eventv1.EventSeverityInfo, eventv1.EventSeverityError:
	default:
		return fmt.Errorf("severity %q", event.Severity)
	}
	object := event.InvolvedObject
	for name, value := range map[string]string{
		"involvedObject.kind": object.Kind, "involvedObject.name": object.Name, "involvedObject.namespace": object.Namespace,
		"involvedObject.apiVersion": object.APIVersion, "message": event.Message, "reason": event.Reason,
		"reportingController": event.ReportingController,
	} {
		if value == "" {
			return fmt.Errorf("no %s", name)
		}
	}
	if event.Timestamp.IsZero() {
		return fmt.Errorf("no timestamp")
	}
	if n := utf8.RuneCountInString(event.Message); n > 39000 {
		return fmt.Errorf("a message of %d characters", n)
	}
	// As the server does it: without the prefix of the object's group.
	group := object.GroupVersionKind().Group + "/"
	metadata := map[string]string{}
	for key, value := range event.Metadata {
		if len(key) > len(group) && key[:len(group)] == group {
			metadata[key[len(group):]] = value
		}
	}
	event.Metadata = metadata
	revision, _ := event.GetRevision()
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"event": event, "unix": event.Timestamp.Unix(), "commitStatusRevision": revision,
	})
}
