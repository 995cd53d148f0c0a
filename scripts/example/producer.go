// Posts an event to postpaid, signed, and tries again until it has an answer. The standard library alone: copy it.
package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/rand"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

type object = map[string]any

type answer struct {
	ID, EventID, State, Durability string
	DueAt                          time.Time
	Duplicate                      bool
}

// postEvent posts an event. Calling it again with the same event is safe.
// Two seconds a try; give ctx the deadline of all tries together.
func postEvent(ctx context.Context, url, key, id string, event object) (answer, error) {
	event["id"] = id
	body, err := json.Marshal(event)
	if err != nil {
		return answer{}, err
	}
	for try := 0; ; try++ {
		got, retryAfter, err := tryOnce(ctx, url, key, id, body)
		if err == nil || retryAfter < 0 {
			return got, err
		}
		step := 2 * time.Second
		if try < 5 {
			step = 100 * time.Millisecond << try
		}
		pause := retryAfter + time.Duration(rand.Int63n(int64(step)))
		if deadline, ok := ctx.Deadline(); ok && time.Now().Add(pause).After(deadline) {
			return answer{}, fmt.Errorf("postpaid did not take %s in %d tries: %w", id, try+1, err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return answer{}, err
		}
	}
}

// tryOnce returns a negative retryAfter when another try would get the same answer.
func tryOnce(ctx context.Context, url, key, id string, body []byte) (got answer, retryAfter time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/events", bytes.NewReader(body))
	if err != nil {
		return got, -1, err
	}
	if err := sign(request.Header, key, id, body); err != nil {
		return got, -1, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return got, 0, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return got, 0, err
	}
	switch {
	case response.StatusCode == http.StatusAccepted:
		return got, -1, json.Unmarshal(text, &got)
	case response.StatusCode == http.StatusTooManyRequests, response.StatusCode >= 500:
		seconds, _ := strconv.Atoi(response.Header.Get("Retry-After"))
		return got, time.Duration(seconds) * time.Second, fmt.Errorf("%s", response.Status)
	default:
		return got, -1, fmt.Errorf("postpaid refused %s: %s", id, text)
	}
}

// sign adds Standard Webhooks headers; the timestamp may be five minutes off, so each try has its own.
func sign(header http.Header, key, id string, body []byte) error {
	secret := []byte(key)
	if encoded := strings.TrimPrefix(key, "whsec_"); encoded != key {
		decoded, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(encoded, "="))
		if err != nil {
			return fmt.Errorf("the key is not base64 behind whsec_: %w", err)
		}
		secret = decoded
	}
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "%s.%s.%s", id, timestamp, body)
	header.Set("Content-Type", "application/json")
	header.Set("webhook-id", id)
	header.Set("webhook-timestamp", timestamp)
	header.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	return nil
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	got, err := postEvent(ctx, os.Getenv("POSTPAID_URL"), os.Getenv("POSTPAID_KEY"), "evt_7Q2", object{
		"type":       "payment.completed",
		"occurredAt": "2026-11-24T09:30:00Z",
		"data": object{
			"booking": object{
				"id": "BK-1042", "title": "Hà Nội → Sa Pa, sleeper bus", "startsAt": "2026-12-01T21:30:00+07:00",
				"items": []object{{"name": "Seat 4A", "quantity": 1, "amount": 450000}}, // minor units
			},
			"payment":  object{"id": "pay_88", "amount": 450000, "currency": "VND", "method": "card"},
			"customer": object{"email": "an@example.com", "name": "Nguyễn Văn An", "locale": "vi"},
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%+v\n", got)
}
