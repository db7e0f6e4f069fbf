import schemathesis


@schemathesis.hook
def filter_case(context, case):
    """Schemathesis 4.32.5 generates the valid entity tag `"0"`, and then sends it without its quotes."""
    return case.headers is None or case.headers.get("If-Match") != "0"
