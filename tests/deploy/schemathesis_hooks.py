import schemathesis


@schemathesis.hook
def filter_case(context, case):
    """Schemathesis 4.32.5 generates the valid entity tag `"0"` but sends it without the quotes."""
    return case.headers is None or case.headers.get("If-Match") != "0"
