#!/usr/bin/env python3
"""Derives the golden bytes of test/golden/crypto from lib/crypto/PROTOCOL.md alone, with primitives written here from their
specifications (slow, not constant time: for this test only). What libsodium and our C made must be the same.

Usage: test_protocol.py SOURCE_DIR"""
import functools
import hashlib
import os
import struct
import sys

GOLDEN = os.path.join(sys.argv[1], "test", "golden", "crypto")


def golden(name):
    with open(os.path.join(GOLDEN, name), encoding="ascii") as file:
        return file.read().strip()


def B(person, size, message, key=b""):
    return hashlib.blake2b(message, digest_size=size, key=key, person=person.encode()).digest()


# ---- ChaCha20 and Poly1305 (RFC 8439), XChaCha20 (draft-irtf-cfrg-xchacha-03) ----

def rounds(state):
    s = list(state)

    def quarter(a, b, c, d):
        for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            s[x] = (s[x] + s[y]) & 0xffffffff
            s[z] ^= s[x]
            s[z] = ((s[z] << turn) | (s[z] >> (32 - turn))) & 0xffffffff
    for _ in range(10):
        for i in range(4):
            quarter(i, 4 + i, 8 + i, 12 + i)
        for i in range(4):
            quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return s


CONSTANTS = struct.unpack("<4I", b"expand 32-byte k")


def chacha_block(key, counter, nonce):
    state = CONSTANTS + struct.unpack("<8I", key) + (counter,) + struct.unpack("<3I", nonce)
    return struct.pack("<16I", *((a + b) & 0xffffffff for a, b in zip(state, rounds(state))))


def poly1305(key, message):
    r = int.from_bytes(key[:16], "little") & 0x0ffffffc0ffffffc0ffffffc0fffffff
    total = 0
    for at in range(0, len(message), 16):
        total = (total + int.from_bytes(message[at:at + 16] + b"\1", "little")) * r % (2 ** 130 - 5)
    return ((total + int.from_bytes(key[16:], "little")) % 2 ** 128).to_bytes(16, "little")


def aead(key, counter, text, additional):
    nonce = struct.pack("<Q", counter) + bytes(16)
    s = rounds(CONSTANTS + struct.unpack("<8I", key) + struct.unpack("<4I", nonce[:16]))
    key, nonce = struct.pack("<8I", *(s[:4] + s[12:])), bytes(4) + nonce[16:]
    stream = b"".join(chacha_block(key, 1 + i, nonce) for i in range(len(text) // 64 + 1))
    sealed = bytes(a ^ b for a, b in zip(text, stream))
    padded = additional + bytes(-len(additional) % 16) + sealed + bytes(-len(sealed) % 16)
    return sealed + poly1305(chacha_block(key, 0, nonce)[:32], padded + struct.pack("<QQ", len(additional), len(sealed)))


# ---- AES (FIPS 197) in Galois/Counter Mode (SP 800-38D), for texts of one block at most ----

def times(a, b, size, polynomial):
    """In the field of 2^size elements, the highest bit first."""
    product = 0
    for bit in range(size - 1, -1, -1):
        product = product << 1 ^ (polynomial if product >> (size - 1) & 1 else 0)
        product ^= a if b >> bit & 1 else 0
    return product


def substitute(byte):
    inverse = next((i for i in range(256) if times(byte, i, 8, 0x11b) == 1), 0)
    return 0x63 ^ inverse ^ functools.reduce(lambda x, y: x ^ y, ((inverse << i | inverse >> (8 - i)) & 255 for i in range(1, 5)))


S_BOX = [substitute(byte) for byte in range(256)]


def aes_block(key, block):
    words, round_constant = [list(key[i:i + 4]) for i in range(0, len(key), 4)], 1
    for i in range(len(words), 4 * (len(words) + 7)):
        word, turn = words[-1], len(key) // 4
        if i % turn == 0:
            word = [S_BOX[b] for b in word[1:] + word[:1]]
            word[0] ^= round_constant
            round_constant = times(round_constant, 2, 8, 0x11b)
        elif turn > 6 and i % turn == 4:
            word = [S_BOX[b] for b in word]
        words.append([a ^ b for a, b in zip(words[i - turn], word)])
    keys = [sum(words[i:i + 4], []) for i in range(0, len(words), 4)]
    state = [a ^ b for a, b in zip(block, keys[0])]
    for number, round_key in enumerate(keys[1:], 1):
        state = [S_BOX[state[(i + 4 * (i % 4)) % 16]] for i in range(16)]
        if number + 1 < len(keys):
            state = [times(2, state[i], 8, 0x11b) ^ times(3, state[i & 12 | (i + 1) % 4], 8, 0x11b) ^ state[i & 12 | (i + 2) % 4]
                     ^ state[i & 12 | (i + 3) % 4] for i in range(16)]
        state = [a ^ b for a, b in zip(state, round_key)]
    return bytes(state)


def gcm(key, nonce, text, additional):
    def mirrored(block):
        return int(f"{int.from_bytes(block, 'big'):0128b}"[::-1], 2)

    sealed = bytes(a ^ b for a, b in zip(text, aes_block(key, nonce + b"\0\0\0\2")))
    h, total = mirrored(aes_block(key, bytes(16))), 0
    padded = additional + bytes(-len(additional) % 16) + sealed + bytes(-len(sealed) % 16)
    for block in range(0, len(padded) + 16, 16):
        piece = (padded + struct.pack(">QQ", 8 * len(additional), 8 * len(sealed)))[block:block + 16]
        total = times(total ^ mirrored(piece), h, 128, 0x100000000000000000000000000000087)
    tag = int(f"{total:0128b}"[::-1], 2).to_bytes(16, "big")
    return sealed + bytes(a ^ b for a, b in zip(tag, aes_block(key, nonce + b"\0\0\0\1")))


# ---- X25519 (RFC 7748) and Ed25519 (RFC 8032) ----

P = 2 ** 255 - 19


def x25519(scalar, point):
    k = int.from_bytes(scalar, "little") & ~7 & (2 ** 255 - 1) | 2 ** 254
    u = int.from_bytes(point, "little") & (2 ** 255 - 1)
    x2, z2, x3, z3 = 1, 0, u, 1
    for bit in range(254, -1, -1):
        if k >> bit & 1:
            x2, z2, x3, z3 = x3, z3, x2, z2
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        da, cb, aa, bb = d * a, c * b, a * a, b * b
        x3, z3 = (da + cb) ** 2 % P, u * (da - cb) ** 2 % P
        x2, z2 = aa * bb % P, (aa - bb) * (aa + 121665 * (aa - bb)) % P
        if k >> bit & 1:
            x2, z2, x3, z3 = x3, z3, x2, z2
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")


L = 2 ** 252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
BASE_Y = 4 * pow(5, P - 2, P) % P
BASE_X = 15112221349535400772501151409588531511454012693041857206046113283949847762202


def add(p, q):
    (x1, y1), (x2, y2) = p, q
    t = D * x1 * x2 * y1 * y2
    return ((x1 * y2 + x2 * y1) * pow(1 + t, P - 2, P) % P, (y1 * y2 + x1 * x2) * pow(1 - t, P - 2, P) % P)


def encoded_multiple(n):
    result, addend = (0, 1), (BASE_X, BASE_Y)
    while n:
        if n & 1:
            result = add(result, addend)
        addend = add(addend, addend)
        n >>= 1
    return (result[1] | (result[0] & 1) << 255).to_bytes(32, "little")


def sha512(*parts):
    return hashlib.sha512(b"".join(parts)).digest()


class Identity:
    def __init__(self, seed):
        half = sha512(seed)
        self.scalar = int.from_bytes(half[:32], "little") & ~7 & (2 ** 255 - 1) | 2 ** 254
        self.prefix = half[32:]
        self.public = encoded_multiple(self.scalar)
        self.uuid = bytearray(B("mesh broker id  ", 16, self.public))
        self.uuid[6] = self.uuid[6] & 0x0f | 0x80
        self.uuid[8] = self.uuid[8] & 0x3f | 0x80

    def sign(self, context, message):
        digest = B(context, 64, message)
        r = int.from_bytes(sha512(self.prefix, digest), "little") % L
        big_r = encoded_multiple(r)
        k = int.from_bytes(sha512(big_r, self.public, digest), "little")
        return big_r + ((r + k * self.scalar) % L).to_bytes(32, "little")


# ---- PROTOCOL.md ----

def key_id(key):
    return int.from_bytes(B("mesh key id     ", 16, key)[:4], "big") or 1


def check_cluster_key():
    key = bytes(range(32))
    number = int.from_bytes(key + B("mesh key typed  ", 16, key)[:3], "big")
    digits = "".join("0123456789abcdefghjkmnpqrstvwxyz"[number >> 5 * i & 31] for i in range(55, -1, -1))
    assert golden("cluster_key.txt") == "mesh1:%s %08x" % (digits, key_id(key))


def check_identity():
    identity = Identity(bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
    assert golden("identity.txt").replace("-", "") == identity.uuid.hex()
    assert golden("signature.hex") == identity.sign("mesh gossip v1  ", b"alive").hex()


def check_packet():
    key, cluster, sender, boot, counter = bytes(32), bytes([99]) + bytes(15), bytes([1]) + bytes(15), 7, 5000
    header = (b"mg\1\0" + B("mesh cluster tag", 16, cluster)[:4] + struct.pack("<I", key_id(key)) + sender
              + struct.pack("<IQ", boot, counter))
    packet_key = B("mesh packets v1 ", 32, sender + struct.pack("<I", boot), key)
    assert golden("packet.hex") == (header + aead(packet_key, counter, b"ping", cluster + header)).hex()


class Transcript:
    def __init__(self):
        name = b"mesh link v1: XXpsk0, X25519, Ed25519, XChaCha20-Poly1305, BLAKE2b"
        self.h = self.ck = B("mesh link start ", 32, name)
        self.k, self.n = b"", 0

    def mix_hash(self, data):
        self.h = B("mesh link hash  ", 32, self.h + data)

    def mix_key(self, data):
        both = B("mesh link mixkey", 64, data, self.ck)
        self.ck, self.k, self.n = both[:32], both[32:], 0

    def mix_key_and_hash(self, data):
        both = B("mesh link mixpsk", 64, data, self.ck)
        self.ck = both[:32]
        self.mix_hash(both[32:])

    def seal(self, text):
        sealed = aead(self.k, self.n, text, self.h)
        self.n += 1
        self.mix_hash(sealed)
        return sealed


def message_header(number, size):
    return b"MLNK" + bytes([number, 1]) + struct.pack("<H", size)


def check_message(name, offer, message):
    assert offer != 1 or golden(name) == message.hex()  # those without AES are kept


def check_channel(offer, cipher):
    """Returns the key of the initiator's frames."""
    psk, base = bytes(32), bytes([9]) + bytes(31)
    identities = [Identity(bytes([0x10 + i]) * 32) for i in range(2)]
    secrets = [bytes([0x20 + i]) * 32 for i in range(2)]
    ephemerals = [x25519(secret, base) for secret in secrets]
    t = Transcript()

    def identity(i, context):
        fields = (identities[i].public + bytes([77]) + bytes(15) + struct.pack("<IIQ", 100 + i, key_id(psk), 1700000000000 + i)
                  + bytes([cipher]) + bytes(7))
        return t.seal(fields + identities[i].sign(context, t.h + fields))

    message = message_header(1, 60) + b"\1\0\0\0" + struct.pack("<I", key_id(psk)) + ephemerals[0]
    t.mix_hash(message)
    t.mix_key_and_hash(psk)
    t.mix_key(ephemerals[0])
    check_message("message1.hex", offer, message + t.seal(bytes([offer, 0, 0, 0])))
    message = message_header(2, 184) + ephemerals[1]
    t.mix_hash(message)
    t.mix_key(ephemerals[1])
    t.mix_key(x25519(secrets[0], ephemerals[1]))
    check_message("message2.hex", offer, message + identity(1, "mesh link resp 1"))
    message = message_header(3, 152)
    t.mix_hash(message)
    check_message("message3.hex", offer, message + identity(0, "mesh link init 1"))
    return B("mesh link split ", 64, b"", t.ck)[:32]


def check_frames():
    frame = struct.pack("<II", 5, 5)
    assert golden("frame_xchacha20.hex") == (frame + aead(check_channel(1, 1), 0, b"hello", frame)).hex()
    assert golden("frame_aes.hex") == (frame + gcm(check_channel(3, 2), bytes(12), b"hello", frame)).hex()
    secret = check_channel(5, 4)
    assert golden("frame_aes128.hex") == (frame + gcm(secret[:16], secret[16:28], b"hello", frame)).hex()


check_cluster_key()
check_identity()
check_packet()
check_frames()
print("the golden bytes follow from PROTOCOL.md")
