"""The head of one plain request, read in one pass (RFC 9112). What is not plain is left to the server's own parser."""

def plain(data: bytes) -> tuple[bytes, bytes, bytes, bytes, bytes, bytes] | None:
    """`(target, authorization, idempotency key, content type, request id, body)` of a whole POST request, b"" for an absent header.

    None unless `data` is exactly one HTTP/1.1 request with a plain path, a Content-Length that is met, no header given twice
    among those read, and nothing that steers the connection (Connection, Expect, Transfer-Encoding, Upgrade ...).
    """
