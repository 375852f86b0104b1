"""What the standards say is signed, by another implementation: Python's own library alone.

Reads a JSON object from stdin and writes one to stdout; the first argument says what of.
"""

import base64
import hashlib
import hmac
import json
import sys
import urllib.parse


def quote(text):
    return urllib.parse.quote(text, safe="-_.~")


def sigv4(asked):
    """Signature Version 4: the whole Authorization header of a request that has its X-Amz-Date."""
    url = urllib.parse.urlsplit(asked["url"])
    headers = {one["name"].lower(): " ".join(one["value"].split()) for one in asked["headers"]}
    headers.pop("authorization", None)
    headers.setdefault("host", url.netloc)
    names = ";".join(sorted(headers))
    fields = urllib.parse.parse_qsl(url.query, keep_blank_values=True)
    query = "&".join(f"{name}={value}" for name, value in sorted((quote(n), quote(v)) for n, v in fields))
    path = urllib.parse.quote(url.path, safe="/-_.~")
    lines = [f"{name}:{headers[name]}" for name in sorted(headers)]
    digest = hashlib.sha256(asked["body"].encode()).hexdigest()
    request = "\n".join([asked["method"], path, query, *lines, "", names, digest])
    time = headers["x-amz-date"]
    scope = f"{time[:8]}/{asked['region']}/{asked['service']}/aws4_request"
    hashed = hashlib.sha256(request.encode()).hexdigest()
    string = f"AWS4-HMAC-SHA256\n{time}\n{scope}\n{hashed}"
    key = ("AWS4" + asked["secret"]).encode()
    for part in [*scope.split("/"), string]:
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    credential = f"{asked['access_key_id']}/{scope}"
    return {
        "authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={key.hex()}"
    }


def cavage(asked):
    """draft-cavage-http-signatures-12: the string of these headers, and the body's digest."""
    url = urllib.parse.urlsplit(asked["url"])
    headers = {one["name"].lower(): one["value"].strip() for one in asked["headers"]}
    headers.setdefault("host", url.netloc)
    target = url.path + (f"?{url.query}" if url.query else "")
    headers["(request-target)"] = f"{asked['method'].lower()} {target}"
    digest = base64.b64encode(hashlib.sha256(asked["body"].encode()).digest()).decode()
    string = "\n".join(f"{name}: {headers[name]}" for name in asked["covered"])
    return {"string": string, "digest": f"SHA-256={digest}"}


def oauth1(asked):
    """OAuth 1.0a as Mastercard's libraries have it: the base string of a request with its Authorization header."""
    url = urllib.parse.urlsplit(asked["url"])
    authorization = next(one["value"] for one in asked["headers"] if one["name"] == "Authorization")
    parts = [part.strip().split("=", 1) for part in authorization.removeprefix("OAuth ").split(",")]
    given = {name: urllib.parse.unquote(value.strip('"')) for name, value in parts}
    signature = given.pop("oauth_signature")
    digest = base64.b64encode(hashlib.sha256(asked["body"].encode()).digest()).decode()
    fields = urllib.parse.parse_qsl(url.query, keep_blank_values=True) + list(given.items())
    joined = "&".join(f"{name}={value}" for name, value in sorted(fields))
    base = f"{url.scheme}://{url.netloc.lower()}{url.path}"
    string = "&".join([asked["method"], quote(base), quote(joined)])
    return {"string": string, "signature": signature, "body_hash": digest, "given": given}


def ecdsa_der(asked):
    """An ECDSA signature r || s as the DER that openssl takes."""
    raw = base64.b64decode(asked["raw"])
    half = len(raw) // 2

    def integer(number):
        body = number.to_bytes(number.bit_length() // 8 + 1, "big")
        return bytes([2, len(body)]) + body

    both = integer(int.from_bytes(raw[:half], "big")) + integer(int.from_bytes(raw[half:], "big"))
    return {"der": base64.b64encode(bytes([48, len(both)]) + both).decode()}


WHAT = {"aws-sigv4": sigv4, "cavage": cavage, "oauth1": oauth1, "ecdsa-der": ecdsa_der}

if __name__ == "__main__":
    json.dump(WHAT[sys.argv[1]](json.load(sys.stdin)), sys.stdout)
