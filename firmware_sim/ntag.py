"""An NTAG 424 DNA tag as a phone or reader sees it: each tap gives a URL that proves itself once (SUN, secure dynamic messaging).

Source: NXP AN12196. AES mode; the mirrors for UID and counter are enciphered (PICCENCData) or plain.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from firmware_sim import ciphers
from firmware_sim.card import Entropy

COUNTER_MAX = 0xFFFFFF
UID_AND_COUNTER = b"\xc7"  # both mirrored, UID of 7 bytes


def session_keys(file_key: bytes, uid: bytes, counter: int) -> tuple[bytes, bytes]:
    """Keys of one tap: for enciphered file data, and for the MAC."""
    tail = bytes.fromhex("00010080") + uid + counter.to_bytes(3, "little")
    return ciphers.cmac("aes", file_key, b"\xc3\x3c" + tail), ciphers.cmac("aes", file_key, b"\x3c\xc3" + tail)


@dataclass(slots=True)
class Tag:
    """One tag. `counter` is the value of the last tap.

    Args:
        meta_key: enciphers UID and counter (SDMMetaReadKey); None mirrors them plain.
        file_key: makes the MAC and enciphers file data (SDMFileReadKey).
        file_data: file bytes mirrored enciphered, whole blocks; none when empty.
        text: plain text of the URL that the MAC covers, where there is no file data.
    """

    uid: bytes
    file_key: bytes
    meta_key: bytes | None = None
    file_data: bytes = b""
    text: str = ""
    counter: int = 0
    entropy: Entropy = secrets.token_bytes

    def tap(self, address: str = "https://example.test/tap") -> str:
        """The URL of the next tap. The MAC covers the text from the file data to its own value. Raises OverflowError at the last count."""
        if self.counter >= COUNTER_MAX:
            raise OverflowError("the tag's counter is used up")
        self.counter += 1
        enc_key, mac_key = session_keys(self.file_key, self.uid, self.counter)
        if self.meta_key is None:
            # In clear text the counter is shown big endian.
            shown = f"uid={self.uid.hex().upper()}&ctr={self.counter:06X}"
        else:
            plain = UID_AND_COUNTER + self.uid + self.counter.to_bytes(3, "little") + self.entropy(5)
            shown = f"picc={ciphers.cbc_encrypt('aes', self.meta_key, bytes(16), plain).hex().upper()}"
        covered = ""
        if self.file_data:
            iv = ciphers.encrypt("aes", enc_key, self.counter.to_bytes(3, "little") + bytes(13))
            covered = ciphers.cbc_encrypt("aes", enc_key, iv, self.file_data).hex().upper() + "&cmac="
            shown += "&enc="
        elif self.text:
            covered, shown = f"{self.text}&cmac=", f"{shown}&text="
        else:
            shown += "&cmac="
        mac = ciphers.odd_bytes(ciphers.cmac("aes", mac_key, covered.encode()))
        return f"{address}?{shown}{covered}{mac.hex().upper()}"
