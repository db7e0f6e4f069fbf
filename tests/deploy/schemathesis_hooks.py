import json

import schemathesis


@schemathesis.hook
def filter_case(context, case):
    """Schemathesis 4.32.5 generates the valid entity tag `"0"` but sends it without the quotes. And a schema cannot say that a label
    of 64 letters may have 64 bytes only, nor how long a context is as JSON. White space around a header's value is no part of it (RFC
    9110, 5.5): `* ` arrives as `*`, which is valid."""
    headers = case.headers or {}
    body = case.body if isinstance(case.body, dict) else {}
    label, context = body.get("label"), body.get("context")
    is_too_long = isinstance(label, str) and len(label) <= 64 < len(label.encode(errors="replace"))
    is_too_large = len(json.dumps(context)) > 128
    is_trimmed = all(str(value) == str(value).strip() for value in headers.values())
    return is_trimmed and not is_too_long and not is_too_large and all(headers.get(name) != "0" for name in ("If-Match", "If-None-Match"))
