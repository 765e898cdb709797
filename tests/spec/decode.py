"""A second decoder, written from vae-codes(5) and vae-model(5) alone, with Python's own library and
the zstd program.

    python3 decode.py MODEL FILE.lat [8] > picture.pnm

With 8 the picture is an eighth of the size, by a model's dec.means.

It is slow (every product is a fused multiply-add made of two doubles); its use is to show that the
pages say everything: tests/spec.sh compares its pictures with vae-dec's, byte by byte.
"""
import json, struct, subprocess, sys
import exact
from math import nextafter, inf

def f32(x): return struct.unpack("<f", struct.pack("<f", x))[0]
def fma(a, b, c):
    p = a * b
    s = p + c
    t = s - p
    e = (p - (s - t)) + (c - t)
    if e and not struct.unpack("<Q", struct.pack("<d", s))[0] & 1:
        s = nextafter(s, inf if e > 0 else -inf)
    return f32(s)
def times_plus(m, a, b, c): return f32(f32(a * b) + c) if m.integer else fma(a, b, c)
def half_even(x): return round(x)

class Model:
    def __init__(m, path):
        b = open(path, "rb").read()
        n = int.from_bytes(b[:8], "little")
        h = json.loads(b[8:8 + n])
        m.meta = h.pop("__metadata__")
        w = m.meta["architecture"].split()
        m.kind, m.a = w[0], dict(x.split("=") for x in w[1:])
        m.t = {}
        for k, v in h.items():
            lo, hi = v["data_offsets"]
            c = {"F16": "e", "F32": "f", "I16": "h", "I32": "i", "U16": "H"}[v["dtype"]]
            raw = b[8 + n + lo:8 + n + hi]
            m.t[k] = list(struct.unpack("<%d%s" % (len(raw) // struct.calcsize("<" + c), c), raw))
        m.shape = {k: v["shape"] for k, v in h.items()}
        m.bounds = m.t["prior.scales.bound"]
        m.integer = m.a.get("arith") == "int16"
        m.first = [sum(2 * x + 2 for x in m.bounds[:i]) for i in range(64)]
    def i(m, k): return int(m.a[k])
    def at(m, name, q):
        K, C = m.shape[name]
        i = min(q * (K - 1) // 65535, K - 2)
        t = f32(float(q * (K - 1) - 65535 * i) / 65535.0)
        T = m.t[name]
        return [fma(t, f32(T[(i + 1) * C + c] - T[i * C + c]), T[i * C + c]) for c in range(C)]

class A:  # rows x columns cells
    def __init__(s, r, c, cells): s.r, s.c, s.v = r, c, cells
def act(v, s): return v if v > 0 else f32(v * s)
LEAK = float.fromhex("0x1.99999ap-4")
def whole(v, f):
    v = f32(v * f)
    v = v if v > -16383 else -16383.0
    return half_even(v if v < 16383 else 16383.0)
def products(m, x, name, q):  # arith=int16
    W, b, u = m.t[name + ".weight"], m.t[name + ".bias"], m.t[name + ".unit"]
    f = power(m.at(name + ".factor", q)[0])
    u = [f32(v / f) for v in u]
    n = len(b)
    for cell in x.v:
        a = [whole(v, f) for v in cell]
        yield [f32(f32(f32(sum(v * W[p * n + j] for p, v in enumerate(a))) * u[j]) + b[j]) for j in range(n)]
def linear(m, x, name, slope=None, residual=None):
    if m.integer and name != "dec.means":
        out = [[act(v, slope) if slope is not None else v for v in cell]
               for cell in products(m, x, name, m.quality)]
        if residual: out = [[f32(v + w) for v, w in zip(*pair)] for pair in zip(out, residual.v)]
        return A(x.r, x.c, out)
    W, b = m.t[name + ".weight"], m.t[name + ".bias"]
    n = len(b)
    out = []
    for k, cell in enumerate(x.v):
        o = []
        for j in range(n):
            v = b[j]
            for p, xp in enumerate(cell): v = fma(xp, W[p * n + j], v)
            if slope is not None: v = act(v, slope)
            if residual: v = f32(v + residual.v[k][j])
            o.append(v)
        out.append(o)
    return A(x.r, x.c, out)
def depthwise(m, x, name):
    w, b = m.t[name + ".weight"], m.t[name + ".bias"]
    C = len(b)
    out = []
    for r in range(x.r):
        for q in range(x.c):
            o = []
            for c in range(C):
                v = b[c]
                for i in range(3):
                    for j in range(3):
                        rr, qq = r + i - 1, q + j - 1
                        s = x.v[rr * x.c + qq][c] if 0 <= rr < x.r and 0 <= qq < x.c else 0.0
                        v = times_plus(m, s, w[(3 * i + j) * C + c], v)
                o.append(v)
            out.append(o)
    return A(x.r, x.c, out)
def block(m, x, n):
    t = linear(m, x, n + ".w1", LEAK)
    t = depthwise(m, t, n + ".dw")
    x = linear(m, t, n + ".w2", None, x)
    t = linear(m, x, n + ".w3", LEAK)
    return linear(m, t, n + ".w4", None, x)
def d2s(x, f, R, Q):
    C = len(x.v[0]) // (f * f)
    return A(R, Q, [x.v[(r // f) * x.c + q // f][((r % f) * f + q % f) * C:][:C]
                    for r in range(R) for q in range(Q)])
SERIES = [float.fromhex(s) for s in ("0x1.430912p-13", "0x1.5d87fep-10", "0x1.3b2ab6p-7", "0x1.c6b08ep-5",
                                     "0x1.ebfbep-3", "0x1.62e43p-1", "1")]
def power(t):
    t = t if t > -30 else -30.0
    t = t if t < 30 else 30.0
    n = half_even(t)
    s = SERIES[0]
    for c in SERIES[1:]: s = fma(s, f32(t - n), c)
    return f32(s * 2.0 ** n)
def gain(m, x, n, q):
    g = [power(t) for t in m.at(n, q)]
    return A(x.r, x.c, [[f32(v * g[c]) for c, v in enumerate(cell)] for cell in x.v])
def shift(m, x, n, q):
    g = m.at(n, q)
    return A(x.r, x.c, [[f32(v + g[c]) for c, v in enumerate(cell)] for cell in x.v])
def up(a, b): return -(-a // b)

def h_s(m, z, q, R, Q):
    R5, Q5 = up(R, 2), up(Q, 2)
    t = d2s(linear(m, z, "prior.hs.up0"), 2, R5, Q5)
    t = block(m, gain(m, t, "prior.hs.gain0", q), "prior.hs.block0")
    t = d2s(linear(m, t, "prior.hs.up1"), 2, R, Q)
    f = block(m, gain(m, t, "prior.hs.gain1", q), "prior.hs.block1")
    return f, shift(m, linear(m, f, "prior.hs.head"), "prior.hs.shift", q)
def context(m, step, r, f, guess, q):
    n = ("prior.ctx", "prior.ctx2", "prior.ctx3")[step - 1]
    t = A(r.r, r.c, [a + b for a, b in zip(r.v, f.v)])
    t = gain(m, linear(m, t, n + ".in"), n + ".gain", q)
    for i in range(m.i("ctx_blocks")): t = block(m, t, n + ".block%d" % i)
    return linear(m, t, n + ".head", None, guess)
def synthesis(m, y, q, H, W):
    G, L = m.i("grid"), m.i("grid_layers")
    y = gain(m, y, "dec.gain_y", q)
    t = linear(m, y, "dec.in")
    for i in range(m.i("dec_blocks")): t = block(m, t, "dec.block%d" % i)
    steer = linear(m, t, "dec.steer")
    c = linear(m, y, "dec.content")
    g = linear(m, t, "dec.feature", None, c)
    g = d2s(g, 4, up(H, 4), up(W, 4))
    def cell(k): return steer.v[(k // g.c // 4) * steer.c + k % g.c // 4]
    for i in range(L):
        a = 3 * G * i
        h = A(g.r, g.c, [[times_plus(m, v, f32(1 + cell(k)[a + n]), cell(k)[a + G + n])
                          for n, v in enumerate(x)]
                         for k, x in enumerate(g.v)])
        h = depthwise(m, h, "dec.grid%d.dw" % i)
        h = linear(m, h, "dec.grid%d.w1" % i, LEAK)
        h = linear(m, h, "dec.grid%d.w2" % i)
        g = A(g.r, g.c, [[times_plus(m, h.v[k][n], f32(1 + cell(k)[a + 2 * G + n]), v)
                          for n, v in enumerate(x)]
                         for k, x in enumerate(g.v)])
    return d2s(linear(m, g, "dec.out"), 4, H, W)
def means(m, y, q, H, W): return d2s(linear(m, gain(m, y, "dec.gain_y", q), "dec.means"), 2, H, W)

def table(l):
    low, high, steps = (float.fromhex(x) for x in ("-0x1.1a87fcp+1", "0x1.8f40b6p+2", "0x1.dd688cp+2"))
    v = l if l > low else low
    v = v if v < high else high
    return half_even(f32(f32(v - low) * steps))

class Known:  # symbols that are known to be 0 are not asked for
    def __init__(s, src, zero, R, Q): s.src, s.zero, s.R, s.Q = src, zero, R, Q
    def y(s, c): return s.zero[c]
    def z(s, c):
        r, q = c // up(s.Q, 4) * 4, c % up(s.Q, 4) * 4
        return all(s.zero[i * s.Q + j] for i in range(r, min(r + 4, s.R)) for j in range(q, min(q + 4, s.Q)))
    def take(s, i, known): return s.src.skip() if known else s.src.take(i)
    def done(s): s.src.done()

class Range:
    def __init__(s, m, b):
        s.m, s.x = m, [int.from_bytes(b[:5], "little"), int.from_bytes(b[5:10], "little")]
        s.words, s.n = list(struct.unpack("<%dH" % ((len(b) - 10) // 2), b[10:])), 0
        s.words.reverse()
    def drop(s, k, c0, c1):
        p = s.x[k] % 65536
        x = (c1 - c0) * (s.x[k] // 65536) + p - c0
        s.x[k] = 65536 * x + s.words.pop() if x < 1 << 24 else x
    def digit(s, k, bits):
        w = 1 << (16 - bits)
        d = s.x[k] % 65536 // w
        s.drop(k, d * w, (d + 1) * w)
        return d
    def take(s, i):
        k = s.n % 2
        s.n += 1
        bound, at = s.m.bounds[i], s.m.first[i]
        C = s.m.t["prior.scales.cumulative"][at:at + 2 * bound + 2] + [65536]
        p = s.x[k] % 65536
        e = max(j for j in range(len(C) - 1) if C[j] <= p)
        s.drop(k, C[e], C[e + 1])
        if e <= 2 * bound: return e - bound
        z = 0
        while not s.digit(k, 1): z += 1
        n = 1
        if z > 16: n = n * 2 ** (z - 16) + s.digit(k, z - 16)
        if z > 0: n = n * 2 ** min(z, 16) + s.digit(k, min(z, 16))
        return -(n + bound) if s.digit(k, 1) else n + bound
    def skip(s):
        s.n += 1
        return 0
    def done(s): assert not s.words and s.x == [1 << 24] * 2, "damage"

def order(R, Q, Y, step, steps):
    def group(r, q): return (r + q + step) % 2 if steps == 2 else (2 * (r % 2) + q % 2) ^ (0, 3, 1, 2)[step]
    n = Y // steps
    return [(c, n * group(c // Q, c % Q) + k) for c in range(R * Q) for k in range(n)]

class Planes:
    def __init__(s, b, R, Q, Y, Z, steps):
        w, zc = b[0], up(R, 4) * up(Q, 4)
        v = [int.from_bytes(b[1 + w * i:1 + w * (i + 1)], "little", signed=True)
             for i in range((len(b) - 1) // w)]
        s.v = [v[k * zc + c] for c in range(zc) for k in range(Z)]
        y = v[zc * Z:]
        if Z:
            for step in range(steps): s.v += [y[k * R * Q + c] for c, k in order(R, Q, Y, step, steps)]
        else: s.v += y
        s.v.reverse()
    def take(s, i): return s.v.pop()
    def skip(s):
        r = s.v.pop()
        assert r == 0, "damage"
        return r
    def done(s): assert not s.v

def slice_photo(m, src, q, R, Q):
    Y, Z = m.i("y"), m.i("z")
    ls, z = m.at("prior.z.log_scale", q), A(up(R, 4), up(Q, 4), [])
    for c in range(z.r * z.c):
        cell = []
        for k in range(Z):
            mean = v = m.t["prior.z.mean"][k]
            if c % z.c: v = fma(m.t["prior.z.left"][k], f32(z.v[c - 1][k] - mean), v)
            if c >= z.c: v = fma(m.t["prior.z.up"][k], f32(z.v[c - z.c][k] - mean), v)
            cell.append(f32(src.take(table(ls[k]), src.z(c)) + v))
        z.v.append(cell)
    f, guess = h_s(m, z, q, R, Q)
    y = [[0.0] * Y for _ in range(R * Q)]
    res = [[0.0] * Y for _ in range(R * Q)]
    first, steps = guess, m.i("steps")
    for step in range(steps):
        if step: guess = context(m, step, A(R, Q, res), f, first, q)
        for c, k in order(R, Q, Y, step, steps):
            r = src.take(table(guess.v[c][Y + k]), src.y(c))
            y[c][k], res[c][k] = f32(r + guess.v[c][k]), float(r)
    src.done()
    return y

def main():
    m = Model(sys.argv[1])
    b, at = subprocess.run(["zstd", "-dcq", sys.argv[2]], stdout=subprocess.PIPE, check=True).stdout, 0
    while at < len(b): at = picture(m, b, at)

def picture(m, b, at):
    magic, ver, method, ft, cell, mid, W, H, maxval, q, Y, csum = struct.unpack(
        "<4sBBBBQIIHHHI", b[at:at + 34])
    mixed = ver == 2 and method & 16
    method -= mixed
    assert magic == b"VAEC" and ver < 3 and method < 2
    assert (ver, method, q, Y, mid, mixed) == (2, 0, 0, 0, 0, 0) or Y and "%016x" % mid == m.meta["id"]
    m.quality = q
    fmt, tup, at = ft >> 4, ft & 15, at + 34
    R, Q = up(H, 1 << cell), up(W, 1 << cell)
    w = 2 if maxval > 255 else 1
    if ver == 2 and not Y: return exact_picture(b, at, fmt, tup, W, H, maxval, w)
    alpha = bytearray(W * H * w) if tup & 4 else None
    y, kept = [None] * (R * Q), {}  # kept: samples of exact pixels
    for sr in range(0, R, 64):
        for sq in range(0, Q, 64):
            n, _ = struct.unpack("<II", b[at:at + 8])
            p, at = b[at + 8:at + 8 + n], at + 8 + n
            r, c = min(64, R - sr), min(64, Q - sq)
            left, right = sq << cell, min((sq + c) << cell, W)
            top, bottom = sr << cell, min((sr + r) << cell, H)
            zero = [0] * (r * c)
            if mixed: zero, p = mixed_cells(p, r, c, right - left, bottom - top, left, top,
                                            3 if tup & 3 == 2 else 1, maxval, kept)
            if alpha is not None and ver == 2:
                p = exact.Bytes(p)
                t = exact.tile(p.take(p.number()), right - left, bottom - top, 1, maxval, None)[0]
                p = p.data[p.at:]
                for i, row in enumerate(t):
                    line = (top + i) * W
                    alpha[(line + left) * w:(line + right) * w] = b"".join(v.to_bytes(w, "big") for v in row)
            elif alpha is not None:
                for row in range(sr << cell, min((sr + r) << cell, H)):
                    n = (right - left) * w
                    alpha[(row * W + left) * w:(row * W + right) * w], p = p[:n], p[n:]
            Z = m.i("z") if m.kind == "photo" else 0
            src = Range(m, p) if method == 0 else Planes(p, r, c, Y, Z, m.i("steps") if Z else 1)
            if m.kind == "photo":
                for k, v in enumerate(slice_photo(m, Known(src, zero, r, c), q, r, c)):
                    y[(sr + k // c) * Q + sq + k % c] = v
            else:
                ls, g = m.at("prior.log_scale", q), m.at("prior.gain", q)
                y[0] = [f32(src.take(table(ls[k])) * f32(1 / g[k])) for k in range(Y)]
                src.done()
    y = A(R, Q, y)
    v = []
    if sys.argv[3:] == ["8"]: H, W, net = up(H, 8), up(W, 8), means
    else: net = synthesis
    if m.kind == "photo":
        for px in net(m, y, q, H, W).v:
            if tup & 3 == 2: v += [f32(x + 0.5) for x in px]
            else: v.append(f32(f32(f32(f32(px[0] + px[1]) + px[2]) * float.fromhex("0x1.555556p-2")) + 0.5))
    else:
        t = linear(m, linear(m, linear(m, y, "dec.dense0", 0.0), "dec.dense1", 0.0), "dec.logits")
        S = m.t["dec.sigmoid"]
        for x in t.v[0]:
            x = x if x > -16 else -16.0
            x = x if x < 16 else 16.0
            p = f32(f32(x + 16) * 128)
            i = min(int(p), 4095)
            v.append(fma(f32(p - i), f32(S[i + 1] - S[i]), S[i]))
    out = []
    for x in v:
        x = x if x > 0 else 0.0
        x = x if x < 1 else 1.0
        out.append(half_even(f32(x * maxval)))
    col = 3 if tup & 3 == 2 else 1
    for (y, x), s in kept.items(): out[(y * W + x) * col:(y * W + x + 1) * col] = s
    raw = b"".join(s.to_bytes(w, "big") for s in out)
    if alpha is not None: raw = b"".join(raw[i * col * w:(i + 1) * col * w] + alpha[i * w:(i + 1) * w]
                                         for i in range(W * H))
    write(raw, fmt, tup, W, H, maxval)
    return at

def mixed_cells(p, r, c, w, h, left, top, colours, maxval, kept):
    p = exact.Bytes(p)
    n = p.number()
    cells = exact.cells(p.take(n), r, c) if n > 1 else [n] * (r * c)
    if n:
        t = exact.tile(p.take(p.number()), w, h, colours, maxval, cells)
        for y in range(h):
            for x in range(w):
                if cells[y // 16 * c + x // 16]: kept[top + y, left + x] = [plane[y][x] for plane in t]
    near = lambda y, x: all(cells[i * c + j] for i in range(max(y - 1, 0), min(y + 2, r))
                            for j in range(max(x - 1, 0), min(x + 2, c)))
    return [near(y, x) for y in range(r) for x in range(c)], p.data[p.at:]

def exact_picture(b, at, fmt, tup, W, H, maxval, w):
    planes = (3 if tup & 3 == 2 else 1) + tup // 4
    pixels = [None] * (W * H)
    for top in range(0, H, 1024):
        for left in range(0, W, 1024):
            n, _ = struct.unpack("<II", b[at:at + 8])
            r, c = min(1024, H - top), min(1024, W - left)
            t = exact.tile(b[at + 8:at + 8 + n], c, r, planes, maxval, None)
            at += 8 + n
            for y in range(r):
                for x in range(c): pixels[(top + y) * W + left + x] = [t[p][y][x] for p in range(planes)]
    write(b"".join(s.to_bytes(w, "big") for px in pixels for s in px), fmt, tup, W, H, maxval)
    return at

def write(raw, fmt, tup, W, H, maxval):
    names = {0: "BLACKANDWHITE", 1: "GRAYSCALE", 2: "RGB", 4: "BLACKANDWHITE_ALPHA", 5: "GRAYSCALE_ALPHA",
             6: "RGB_ALPHA"}
    if fmt == 7: head = "P7\nWIDTH %d\nHEIGHT %d\nDEPTH %d\nMAXVAL %d\nTUPLTYPE %s\nENDHDR\n" % (
        W, H, (3 if tup & 3 == 2 else 1) + tup // 4, maxval, names[tup])
    elif fmt == 4:
        head = "P4\n%d %d\n" % (W, H)
        rows = [raw[i * W:(i + 1) * W] + b"\1" * (-W % 8)
                for i in range(H)]  # 1 is black in PBM, 0 in samples
        raw = bytes(sum((1 - r[k + i]) << (7 - i) for i in range(8)) for r in rows
                    for k in range(0, len(r), 8))
    else: head = "P%d\n%d %d\n%d\n" % (fmt, W, H, maxval)
    sys.stdout.buffer.write(head.encode() + raw)

main()
