import schemathesis


@schemathesis.hook
def filter_case(context, case):
    """Schemathesis 4.32.5 generates the valid entity tag `"0"` but sends it without the quotes."""
    headers = case.headers or {}
    return all(headers.get(name) != "0" for name in ("If-Match", "If-None-Match"))
