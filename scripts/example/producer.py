"""Posts an event to postpaid, signed, and tries again until it has an answer. The standard library alone: copy it."""
import base64, hashlib, hmac, json, os, random, time
import http.client, urllib.error, urllib.request

URL = os.environ["POSTPAID_URL"]
KEY = os.environ["POSTPAID_KEY"]


def post_event(event, timeout_s=2, deadline_s=10):
    """Posts an event and returns the service's answer; raises what the last try raised. Safe to call again."""
    body = json.dumps(event, ensure_ascii=False).encode()
    ends_at = time.monotonic() + deadline_s
    tries = 0
    while True:
        tries += 1
        request = urllib.request.Request(URL + "/v1/events", body, headers_for(event["id"], body))
        pause_s = random.uniform(0, min(2, 0.1 * 2 ** (tries - 1)))
        try:
            left_s = ends_at - time.monotonic()
            with urllib.request.urlopen(request, timeout=max(0.05, min(timeout_s, left_s))) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            if error.code != 429 and error.code < 500:
                raise ValueError(f"postpaid refused {event['id']}: {error.read().decode()}") from error
            retry_after = error.headers.get("Retry-After", "")
            pause_s += int(retry_after) if retry_after.isdigit() else 0
            failure = error
        except (OSError, http.client.HTTPException, ValueError) as error:  # unreachable, timed out, broken off
            failure = error
        if time.monotonic() + pause_s >= ends_at:
            raise failure
        time.sleep(pause_s)


def headers_for(event_id, body):
    """Standard Webhooks; the timestamp may be five minutes off, so each try has its own."""
    secret = base64.b64decode(KEY[6:] + "==") if KEY.startswith("whsec_") else KEY.encode()
    timestamp = str(int(time.time()))
    mac = hmac.new(secret, f"{event_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "Content-Type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": "v1," + base64.b64encode(mac).decode(),
    }


print(post_event({
    "id": "evt_7Q2",
    "type": "payment.completed",
    "occurredAt": "2026-11-24T09:30:00Z",
    "data": {
        "booking": {
            "id": "BK-1042",
            "title": "Hà Nội → Sa Pa, sleeper bus",
            "startsAt": "2026-12-01T21:30:00+07:00",
            "items": [{"name": "Seat 4A", "quantity": 1, "amount": 450000}],  # minor units: whole đồng, or cents
        },
        "payment": {"id": "pay_88", "amount": 450000, "currency": "VND", "method": "card"},
        "customer": {"email": "an@example.com", "name": "Nguyễn Văn An", "locale": "vi"},
    },
}))
