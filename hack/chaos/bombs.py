"""Hostile inputs as plain values: patches, packs, keys and metadata that ask for more than they look like."""

import base64
import hashlib
import string
import struct
import zlib

# git's alphabet for binary patches (base85.c).
ALPHABET = (
    string.digits + string.ascii_uppercase + string.ascii_lowercase + "!#$%&()*+-;<=>?@^_`{|}~"
).encode()


def deep_path_patch(depth=12000):
    """A new file below `depth` folders: a header of 24 KB."""
    path = "a/" * depth + "f"
    return f"--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+x\n"


def lost_hunks_patch(file="huge.txt", hunks=20000):
    """Hunks that fit nowhere in a file, and have to be looked for everywhere."""
    body = "".join(
        f"@@ -{number},3 +{number},3 @@\n x\n-no such line\n+y\n x\n" for number in range(1, hunks * 40, 40)
    )
    return f"--- a/{file}\n+++ b/{file}\n{body}"[:900_000].rsplit("@@ -", 1)[0]


def spaces_patch(count=160_000):
    """A header of spaces, each of which may end the first of two names."""
    return f"diff --git {' ' * count}\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"


def encode85(data):
    """A line of a binary patch."""
    out = bytearray([(len(data) - 1 + ord("A")) if len(data) <= 26 else (len(data) - 27 + ord("a"))])
    padded = data + b"\0" * (-len(data) % 4)
    for at in range(0, len(padded), 4):
        (value,) = struct.unpack(">I", padded[at : at + 4])
        digits = []
        for _ in range(5):
            value, digit = divmod(value, 85)
            digits.append(ALPHABET[digit])
        out += bytes(reversed(digits))
    return bytes(out)


def binary_bomb_patch(name, size=255 << 20):
    """A new file of zeros; the patch is a thousandth of it."""
    compressor, name_of_blob = zlib.compressobj(9), hashlib.sha1(b"blob %d\0" % size)
    block, packed = b"\0" * (1 << 20), b""
    for _ in range(size >> 20):
        name_of_blob.update(block)
        packed += compressor.compress(block)
    packed += compressor.flush()
    lines = [encode85(packed[at : at + 52]).decode() for at in range(0, len(packed), 52)]
    return (
        f"diff --git a/{name} b/{name}\nnew file mode 100644\nindex {'0' * 40}..{name_of_blob.hexdigest()}\n"
        f"GIT binary patch\nliteral {size}\n" + "\n".join(lines) + "\n\nliteral 0\nHcmV?d00001\n\n"
    )


def line_feeds_patch(file="feeds.txt"):
    """A small patch on a large file of nothing but line feeds."""
    return f"--- a/{file}\n+++ b/{file}\n@@ -1 +1,2 @@\n \n+x\n"


def failing_patches(count=1500):
    """Patches that each fail, and are each reported."""
    patch = "--- a/{0}.txt\n+++ b/{0}.txt\n@@ -1 +1 @@\n-a\n+b\n"
    return {f"{number:04}.patch": patch.format(number) for number in range(count)}


def nested(depth, leaf="x"):
    """An object in an object, `depth` levels deep."""
    value = leaf
    for _ in range(depth):
        value = {"a": value}
    return value


def deep_managed_fields(depth=300):
    """What some tool is said to own, `depth` levels deep."""
    fields = {}
    for _ in range(depth):
        fields = {"f:a": fields}
    return [
        {
            "manager": "tool",
            "operation": "Apply",
            "apiVersion": "v1",
            "time": "2026-01-01T00:00:00Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:data": fields},
        }
    ]


def endless_key(private_key):
    """An OpenSSH key with a passphrase, which asks for four billion rounds of key derivation."""
    head, *body, tail = private_key.strip().splitlines()
    data = bytearray(base64.b64decode("".join(body)))
    # openssh-key-v1\0, cipher, kdf, and the kdf's options: a salt of 16 bytes and the rounds.
    at = data.index(b"\0\0\0\x06bcrypt") + 10 + 4 + 4 + 16
    data[at : at + 4] = b"\xff\xff\xff\xff"
    text = base64.b64encode(bytes(data)).decode()
    return "\n".join([head, *(text[at : at + 70] for at in range(0, len(text), 70)), tail, ""])


def pack_object(kind, data, size=None, base=b""):
    size = len(data) if size is None else size
    first, rest = size & 15, size >> 4
    head = bytearray()
    head.append(kind << 4 | first | (0x80 if rest else 0))
    while rest:
        rest, low = rest >> 7, rest & 0x7F
        head.append(low | (0x80 if rest else 0))
    return bytes(head) + base + zlib.compress(data, 9)


def variable(size):
    """A size as deltas encode it."""
    out = bytearray()
    while True:
        size, low = size >> 7, size & 0x7F
        out.append(low | (0x80 if size else 0))
        if not size:
            return bytes(out)


def object_name(kind, data):
    return hashlib.sha1(b"%s %d\0" % (kind, len(data)) + data).digest()


def pack_with(blob_name, file, *blobs):
    """A commit of one file, and a pack that holds it and these objects."""
    tree = b"100644 %s\0%s" % (file, blob_name)
    who = "A <a@example.org> 0 +0000"
    text = f"tree {object_name(b'tree', tree).hex()}\nauthor {who}\ncommitter {who}\n\nhostile\n"
    objects = [pack_object(1, text.encode()), pack_object(2, tree), *blobs]
    pack = b"PACK" + struct.pack(">II", 2, len(objects)) + b"".join(objects)
    return object_name(b"commit", text.encode()).hex(), pack + hashlib.sha1(pack).digest()


def delta_bomb(copies=240):
    """A commit, and a pack of some KB in which a delta repeats 16 MiB of zeros `copies` times."""
    base = b"\0" * ((1 << 24) - 1)
    name = object_name(b"blob", base)
    delta = variable(len(base)) + variable(len(base) * copies) + b"\xf0\xff\xff\xff" * copies
    return pack_with(name, b"zeros", pack_object(3, base), pack_object(7, delta, base=name))


def foreign_commit():
    """A commit that is in no honest repository, and its pack."""
    data = b"not what you asked for\n"
    return pack_with(object_name(b"blob", data), b"file.txt", pack_object(3, data))
