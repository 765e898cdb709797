"""A second decoder of exact samples, by vae-codes(5) alone.

    python3 exact.py CASES    where build/tests/exact CASES wrote them: prints TAP

Its use is to show that the page says everything; it is slow.
"""
import struct, sys

M64 = 2 ** 64 - 1

def limit(v, low, high): return low if v < low else high if v > high else v
def median(a, b, c): return sorted((a, b, c))[1]

class Damaged(Exception): pass

# ---- the coder of exact samples, and numbers ----

class Bytes:
    def __init__(b, data): b.data, b.at = data, 0
    def byte(b):
        b.at += 1
        return b.data[b.at - 1]
    def number(b):
        n = shift = 0
        while True:
            x = b.byte()
            n |= (x & 127) << shift
            shift += 7
            if x < 128: return n
    def take(b, n):
        b.at += n
        return b.data[b.at - n:b.at]

class Rans:
    def __init__(r, b): r.b = b
    def start(r, states): r.state = [int.from_bytes(r.b.take(4), "little") for _ in range(states)]
    def end(r):
        if any(x != 65536 for x in r.state): raise Damaged
    def slot(r, i): return r.state[i] & 32767
    def take(r, i, start, count):
        x = r.state[i]
        x = count * (x >> 15) + (x & 32767) - start
        if x < 65536: x = x << 16 | int.from_bytes(r.b.take(2), "little")
        r.state[i] = x
    def equal(r, i, bits):
        if not bits: return 0
        v = r.slot(i) >> 15 - bits
        r.take(i, v << 15 - bits, 1 << 15 - bits)
        return v
    def bit(r, i, zero):
        one = r.slot(i) >= zero
        r.take(i, zero if one else 0, 32768 - zero if one else zero)
        return int(one)

# ---- stored parts ----

def stored(b, w, h, planes, maxval, exact, out):
    bits = maxval.bit_length()
    n, k = int.from_bytes(b.data[b.at:], "little"), 0
    for y in range(h):
        for x in range(w):
            for p in range(planes if exact(x, y) else 0):
                out[p][y][x] = n >> k & (1 << bits) - 1
                k += bits

# ---- mode natural ----

THRESHOLD = [1, 2, 3, 4, 6, 8, 10, 13, 16, 20, 24, 29, 36, 44, 57, 68, 81, 96, 114, 136, 162, 193,
             230, 273, 325, 387, 460, 548, 652, 776, 923]
FALL = [2337, 2337, 2337, 2337, 2337, 2337, 4285, 7394, 12234, 16759, 22014, 26403, 30884, 35749,
        39914, 30479, 34497, 38239, 41598, 30479, 34497, 38239, 41696, 30682, 34578, 38303, 41744,
        30682, 34659, 38366, 41793, 30758]

def start_tokens(fall):
    weight, w = [0] * 32, 65536
    for j in range(17):
        if j < 16: weight[16 + j] = w
        weight[16 - j] = w
        w = w * fall >> 16
    weight[0] += 1024
    total, so_far, start = sum(weight), 0, []
    for i in range(32):
        start.append(so_far * (16384 - 32) // total + i)
        so_far += weight[i]
    return start

class Plane:
    def __init__(p, low, high, width):
        p.low, p.high = low, high
        p.above = [[((low + high) >> 1, 128)] * width for _ in range(3)]  # nearest first
        p.weight = [[2000 if i in (0, 2) else 6000 if i == 6 else 0 for i in range(20)]
            for _ in range(16)]
        p.bias, p.memory, p.near, p.edge, p.uses = {}, {}, {}, {}, {}
        p.gamma = [16384] * 19

class Strip:
    """Values and errors of a plane's strip, and what is around it."""
    def __init__(s, p, left, width, rows):
        s.p, s.left, s.width = p, left, width
        s.v = [[None] * width for _ in range(rows)]
    def at(s, x, y):
        if s.p.low == s.p.high: return (0, 0)
        if y < 0:
            line = s.p.above[-1 - y]
            return line[limit(s.left + x, 0, len(line) - 1)]
        if x < 0: return s.at(0, y - 1)
        return s.v[y][min(x, s.width - 1)]

class Photo:
    def __init__(f, b, mode, width, planes):
        f.r, f.transform, f.grain = Rans(b), mode >> 2, b.number()
        f.levels = [b.number() for _ in range(b.number())]
        for i in range(1, len(f.levels)): f.levels[i] += f.levels[i - 1] + 1
        f.planes = []
        for _ in range(planes):
            low = b.number()
            low = -(low + 1 >> 1) if low & 1 else low >> 1
            f.planes.append(Plane(low, low + b.number(), width))
        f.shift = 0
        while max(p.high - p.low for p in f.planes) >> f.shift > 2047: f.shift += 1

    def inputs(f, strips, n, x, y):
        def value(s, dx, dy): return strips[s].at(x + dx, y + dy)[0]
        v = lambda dx, dy: value(n, dx, dy)
        N, W, NW, NE, WW, NN = v(0, -1), v(-1, 0), v(-1, -1), v(1, -1), v(-2, 0), v(0, -2)
        base = N + W >> 1
        d = [a - base for a in (W, NW, NE, WW, NN, v(2, -1), median(N, W, N + W - NW))]
        d += [v(1, -2) - NE, v(-2, -1) - NW, v(-1, -2) - NW, v(-3, 0) - WW, v(0, -3) - NN]
        for s in range(n):
            b = value(s, 0, -1) + value(s, -1, 0) >> 1
            d += [value(s, dx, dy) - b for dx, dy in ((0, 0), (-1, 0), (-1, -1), (1, -1))]
        return base, [a >> f.shift for a in d]

    def look(f, strips, n, x, y):
        """All that is known of a pixel before it is coded."""
        p, s = f.planes[n], strips[n]
        base, inputs = f.inputs(strips, n, x, y)
        k = {"inputs": inputs}
        total = sum(w * i for w, i in zip(p.weight[y], inputs))
        k["prediction"] = P = limit(16 * base + (total + 512 >> 10) * 2 ** f.shift,
            16 * p.low, 16 * p.high)
        v = lambda dx, dy: s.at(x + dx, y + dy)[0]
        e = lambda dx, dy: s.at(x + dx, y + dy)[1]
        energy = 3 * (e(-1, 0) + e(0, -1)) + 2 * (e(-1, -1) + e(1, -1)) + e(-2, 0) + e(0, -2)
        other, steps = e(-2, 0) + e(0, -2), (20, 50, 110)
        if n:
            other, steps = strips[n - 1].at(x, y)[1], (10, 30, 80)
            energy = 3 * energy + 6 * other >> 2
        level = sum(t <= min(energy >> 3, 1023) for t in THRESHOLD)
        closeness = sum(other >= t for t in steps)
        around = (v(-1, 0), v(0, -1), v(-1, -1), v(1, -1), v(-2, 0), v(0, -2))
        W, N, NW, NE = around[:4]
        pattern = sum((16 * a > P) << i for i, a in enumerate(around))
        if n:
            b = strips[n - 1]
            pattern += 64 * (2 * b.at(x, y)[0] > b.at(x, y - 1)[0] + b.at(x - 1, y)[0])
        if n == 0: h = (259 * N + 3001 * W + 17 * NW + 70001 * NE) * 2654435761 % 2 ** 32 >> 18
        elif n == 1: h = (67 * strips[0].at(x, y)[0] + W) % 2 ** 14
        else:
            h = 513 * strips[0].at(x, y)[0] + 70001 * strips[1].at(x, y)[0]
            h = h * 2654435761 % 2 ** 32 >> 18
        k["hash"], k["bias"] = h, (pattern, level >> 3)
        k["centre"] = P + (p.bias.get(k["bias"], 0) >> 8) * 2 ** f.grain
        k["middle"] = m = k["centre"] + 8 >> 4
        k["q"] = q = f.grain + (max(level - 11, 0) >> 2)
        c = lambda a, l: limit(a - m >> q, -l, l) + l
        k["near"] = (level, 5 * (4 * level + closeness) + c(p.memory.get(h, NE), 2))
        k["edge"] = (level & ~1, 49 * (level >> 1) + 7 * c(W, 3) + c(N, 3))
        return k

    @staticmethod
    def counts(table, context):
        if context[1] not in table: table[context[1]] = start_tokens(FALL[context[0]])
        return table[context[1]]

    def excess(f, p, state):
        above, more = f.r.equal(state, 1), 0
        while more < 19:
            one = f.r.bit(state, p.gamma[more])
            p.gamma[more] += -(p.gamma[more] >> 5) if one else 32768 - p.gamma[more] >> 5
            if not one: break
            more += 1
        m = 1
        for bits in (max(more - 15, 0), min(more, 15)): m = m << bits | f.r.equal(state, bits)
        return m + 15 if above else -15 - m

    def code(f, p, s, k, x, y):
        state, a, b = y % 4, f.counts(p.near, k["near"]), f.counts(p.edge, k["edge"])
        F = [i + j for i, j in zip(a, b)] + [32768]
        token = max(i for i in range(32) if F[i] <= f.r.slot(state))
        f.r.take(state, F[token], F[token + 1] - F[token])
        high = token - 16 if token else f.excess(p, state)
        residual = (high << k["q"]) + f.r.equal(state, k["q"])
        k["token"] = token
        k["value"] = limit(limit(residual, -2 ** 20, 2 ** 20) + k["middle"], p.low, p.high)
        s.v[y][x] = (k["value"], abs(16 * k["value"] - k["prediction"]) >> f.grain)

    def adapt(f, p, name, k):
        uses = p.uses.get((name, k[name][1]), 0)
        rate, start = 5 + (uses >> 4), getattr(p, name)[k[name][1]]
        for i in range(1, 32):
            aim = i if i <= k["token"] else 16352 + i + 2 ** rate - 1
            start[i] += aim - start[i] >> rate
        p.uses[name, k[name][1]] = min(uses + 1, 32)

    def learn(f, p, n, coded, t):
        for k in coded.values():
            f.adapt(p, "near", k)
            f.adapt(p, "edge", k)
            drift = limit(16 * k["value"] - k["centre"] >> f.grain, -512, 512)
            p.bias[k["bias"]] = p.bias.get(k["bias"], 0) + 4 * drift
            p.memory[k["hash"]] = k["value"]
        count = 12 + 4 * n
        for r in range(15, -1, -1):
            w = p.weight[r]
            for i in range(count):
                w[i] += p.weight[r - 1][i] - w[i] >> 2 if r else 0
            if r in coded:
                k = coded[r]
                miss = 16 * k["value"] - k["prediction"]
                rate = 163840 // (8 * min(8 + sum(map(abs, k["inputs"])) >> 3, 2047) + 4)
                rate *= (miss > 0) - (miss < 0)
                for i in range(count): w[i] += rate * k["inputs"][i] >> 8
            if t % 8 == 7:
                for i in range(count): w[i] = limit(w[i], -24576, 24576)

    def strip(f, left, width, rows):
        strips = [Strip(p, left, width, rows) for p in f.planes]
        for n, (p, s) in enumerate(zip(f.planes, strips)):
            if p.low == p.high: continue
            for t in range(width + 3 * (rows - 1)):
                coded = {r: f.look(strips, n, t - 3 * r, r)
                    for r in range(rows) if 0 <= t - 3 * r < width}
                for r, k in coded.items(): f.code(p, s, k, t - 3 * r, r)
                f.learn(p, n, coded, t)
        for p, s in zip(f.planes, strips):
            for row in (s.v if p.low < p.high else []):
                lines = [row] + [a[left:left + width] for a in p.above[:2]]
                for i, line in enumerate(lines): p.above[i][left:left + width] = line
        at = lambda p, s, x, y: p.low if p.low == p.high else s.v[y][x][0]
        return [[[at(p, s, x, y) for x in range(width)] for y in range(rows)]
                for p, s in zip(f.planes, strips)]

def photo(b, mode, w, h, planes, maxval, exact, out):
    f, pixels = Photo(b, mode, w, planes), 0
    events = any(p.low < p.high for p in f.planes)
    for top in range(0, h, 16):
        rows, left = min(16, h - top), 0
        while left < w:
            right = left
            while right < w and exact(right, top): right += 1
            if right == left:
                left += 16
                continue
            if events and not pixels: f.r.start(4)
            v = f.strip(left, right - left, rows)
            for y in range(rows):
                for x in range(right - left):
                    c = [v[p][y][x] for p in range(planes)]
                    if planes == 3:
                        g, r, z = c
                        if f.transform != 2:
                            r += g
                            z += r + g >> 1 if f.transform == 1 else g
                        c = [r, g, z]
                    if f.levels: c = [f.levels[i] for i in c]
                    for p in range(planes): out[p][top + y][left + x] = c[p]
            pixels += (right - left) * rows
            if events and pixels >= 65536:
                f.r.end()
                pixels = 0
            left = right
    if events and pixels: f.r.end()

# ---- odds and mixed bits ----

HALF = [11, 14, 18, 23, 30, 38, 49, 63, 81, 104, 133, 171, 219, 281, 360, 461, 589, 753, 961, 1223,
        1554, 1969, 2486, 3124, 3906, 4851, 5978, 7297, 8813, 10513, 12371, 14347, 16384]
L = HALF + [32768 - HALF[64 - j] for j in range(33, 65)]
SQUASH = [limit(L[i >> 6] * (64 - i % 64) + L[(i >> 6) + 1] * (i % 64) >> 5, 32, 65504)
    for i in range(4096)]
STRETCH = []
for p in range(4096):
    i = next((i for i in range(STRETCH[-1] + 2048 if STRETCH else 0, 4096)
        if SQUASH[i] >= 16 * p + 8), None)
    STRETCH.append(2047 if i is None else max(i - 2048, -2047))

class Odds:
    def __init__(o): o.one, o.uses = 32768, 0
    def move(o, bit, most):
        step = 131072 // (2 * o.uses + 3)
        o.one = limit(o.one + ((65535 * bit - o.one) * (step >> 1) >> 15), 32, 65504)
        o.uses = min(o.uses + 1, most)

def plain_bit(r, o, most):
    bit = r.bit(0, 65536 - o.one >> 1)
    o.move(bit, most)
    return bit

def mixed_bit(r, weight, odds):
    x = [STRETCH[o.one >> 4] for o in odds]
    one = SQUASH[limit(sum((w >> 4) * a for w, a in zip(weight, x)) >> 12, -2047, 2047) + 2048]
    bit = r.bit(0, 65536 - one >> 1)
    miss = 65536 * bit - one
    for i in range(5):
        weight[i] = limit(weight[i] + (x[i] * (miss >> 4) + 512 >> 10), -524288, 524288)
        odds[i].move(bit, 33)
    return bit

# ---- mode graphic ----

def m(h, *xs):
    for x in xs:
        h = (h ^ x & M64) * 0x9e3779b97f4a7c15 & M64
        h ^= h >> 29
    return h
def top(h, n): return h >> 64 - n
def t(v):
    a = abs(v)
    a = a if a < 3 else 3 if a < 6 else 4 if a < 14 else 5 if a < 40 else 6
    return -a if v < 0 else a

def teach(table, key, colour, check):
    c, k, confidence = table.get(key, (0, 0, 0))
    if k == check and c == colour: table[key] = (c, k, min(confidence + 1, 7))
    elif k == check and confidence > 1: table[key] = (c, k, confidence // 2)
    else: table[key] = (colour, check, 1)

class Graphic:
    def __init__(g, b, w, planes, maxval):
        g.r, g.w, g.planes, g.maxval = Rans(b), w, planes, maxval
        g.wide, g.narrow, g.same, g.odds, g.mixers = {}, {}, ({}, {}), {}, {}
        g.rows, g.used = [], []
    def at(g, x, y):
        if y < 0: return 0
        if x < 0: return g.at(0, y - 1)
        return g.rows[y][min(x, g.w - 1)]
    def use(g, x, y): return g.used[y][x] if y >= 0 and 0 <= x < g.w else 0
    def get(g, *key): return g.odds.setdefault(key, Odds())
    def mix(g, mixer, odds): return mixed_bit(g.r, g.mixers.setdefault(mixer, [19660] * 5), odds)

    def number(g, p, contexts):
        def bit(d):
            odds = [g.get("n", i, top(m(c, d), 16)) for i, c in enumerate(contexts)]
            return g.mix(("n", p, d % 128), odds)
        if not bit(0): return 0
        negative, ones, value = bit(1), 0, 1
        while ones < 17 and bit(2 + ones + 18 * negative): ones += 1
        for i in range(ones):
            d = 64 + (16 * ones | 2 * value | negative)
            value = value << 1 | (bit(d) if i < 3 else g.r.equal(0, 1))
        return -value if negative else value

    def known(g, v, p, W):
        places = (top(m(2, v, W), 12), top(m(3, v), 12))
        asked = None
        for i in range(2):
            c, _, confidence = g.same[i].get(places[i], (0, 0, 0))
            if confidence and c >> 16 * p & 65535 == v and c != asked:
                asked = c
                if plain_bit(g.r, g.get("known", i, confidence), 33): return places, c
        return places, None

    def literal(g, a):
        miss = older = last = colour = 0
        places = None
        for i, p in enumerate((1, 0, 2) if g.planes == 3 else (0,)):
            names = ("N", "W", "NW", "NE", "WW", "NN")
            n, w, nw, ne, ww, nn = (a[k] >> 16 * p & 65535 for k in names)
            plain = median(n, w, n + w - nw)
            guess = limit(plain + (miss if i else 0), 0, g.maxval)
            sign, level = (miss != 0) + (miss < 0), 0
            spread = abs(n - nw) + abs(w - nw) + abs(ne - n)
            while spread and level < 7:
                spread >>= 2 if level else 1
                level += 1
            contexts = (m(8 * p + level, sign, t(2 * w - ww - guess), t(2 * n - nn - guess)),
                        m(p + 8, miss, t(older)), m(p + 16, w, n), m(p + 24, last, guess),
                        m(p + 32, t(n - guess), t(w - guess), t(ne - guess), sign))
            last = limit(guess + g.number(p, contexts), 0, g.maxval)
            older, miss = miss, last - plain
            colour |= last << 16 * p
            if i == 0 and g.planes == 3:
                places, c = g.known(last, p, a["W"])
                if c is not None:
                    colour = c
                    break
        if places:
            for i in range(2): teach(g.same[i], places[i], colour, 0)
        return colour

    def pixel(g, x, y):
        at = {"W": (-1, 0), "WW": (-2, 0), "N": (0, -1), "NW": (-1, -1), "NE": (1, -1),
            "NEE": (2, -1), "NN": (0, -2), "NNE": (1, -2),
              "NNW": (-1, -2), "NWW": (-2, -1)}
        a = {k: g.at(x + dx, y + dy) for k, (dx, dy) in at.items()}
        W, N, NW, NE = a["W"], a["N"], a["NW"], a["NE"]
        used = [g.use(x - 1, y), g.use(x, y - 1), g.use(x + 1, y - 1), g.use(x - 1, y - 1)]
        narrow = m(1, W, N, NW, NE)
        wide = m(narrow, a["WW"], a["NN"], a["NEE"], a["NNE"], a["NNW"], a["NWW"])
        if all(a[k] == W for k in ("N", "NW", "NE", "WW", "NN", "NEE", "NNE")):
            f = 1 if used[0] else 2 if used[2] else 0
            if not plain_bit(g.r, g.get("flat", f), 255): return W, 0
        recalls, conf = [], []
        for table, h in ((g.wide, wide), (g.narrow, narrow)):
            c, check, confidence = table.get(top(h, 16), (0, 0, 0))
            conf.append(confidence if check == h % 65536 else 0)
            recalls.append(c if conf[-1] else None)
        pairs = ((W, N), (N, NE), (W, NW), (N, NW), (N, a["NN"]), (W, a["WW"]), (NE, a["NEE"]),
                 (W, NE))
        pattern = sum((b == c) << i for i, (b, c) in enumerate(pairs))
        history = sum(u << 3 * i for i, u in enumerate(used))
        seen, colour, i = [], None, 0
        for c in recalls + [W, N, NE, NW, a["NN"]]:
            if c is None or c in seen: continue
            i = len(seen)
            seen.append(c)
            here = sum((c == k) << j for j, k in enumerate([W, N, NE, NW] + recalls))
            odds = [g.get("c", 0, 512 * here + 64 * conf[0] + 8 * conf[1] + i),
                    g.get("c", 1, top(m(pattern, here, i), 16)),
                    g.get("c", 2, top(m(history, here % 16, i), 16)),
                    g.get("c", 3, top(m(narrow, i), 16)),
                    g.get("c", 4, top(m(W, N, i, here), 16))]
            if g.mix(("c", 8 * i + conf[0]), odds):
                colour = c
                break
        if colour is None: colour, i = g.literal(a), 7
        teach(g.wide, top(wide, 16), colour, wide % 65536)
        teach(g.narrow, top(narrow, 16), colour, narrow % 65536)
        return colour, i

def graphic(b, w, h, planes, maxval, exact, out):
    g = Graphic(b, w, planes, maxval)
    g.r.start(1)
    for y in range(h):
        g.rows.append([])
        g.used.append([0] * w)
        for x in range(w):
            if not exact(x, y):
                g.rows[y].append(g.at(x - 1, y))
                continue
            colour, g.used[y][x] = g.pixel(x, y)
            g.rows[y].append(colour)
            for p in range(planes): out[p][y][x] = colour >> 16 * p & 65535
    g.r.end()

# ---- tiles ----

def part(data, *shape):
    b = Bytes(data)
    mode = b.byte()
    if mode % 4 == 0: return stored(b, *shape)
    (photo if mode % 4 == 1 else graphic)(b, *([mode] if mode % 4 == 1 else []), *shape)
    if b.at != len(data): raise Damaged

def tile(data, w, h, planes, maxval, cells):
    """The planes; samples of cells that are not exact are None."""
    columns = (w + 15) // 16
    exact = lambda x, y: not cells or cells[y // 16 * columns + x // 16]
    out = [[[None] * w for _ in range(h)] for _ in range(planes)]
    colours = planes - (planes % 2 == 0)
    if colours < planes:
        b = Bytes(data)
        length = b.number()
        part(b.take(length), w, h, colours, maxval, exact, out)
        part(data[b.at:], w, h, 1, maxval, exact, out[colours:])
    else: part(data, w, h, planes, maxval, exact, out)
    return out

# ---- the map of cells ----

def cells(data, rows, columns):
    r, odds, out = Rans(Bytes(data)), [Odds() for _ in range(16)], []
    r.start(1)
    at = lambda y, x: out[y * columns + x] if 0 <= x < columns and y >= 0 else 0
    for i in range(rows * columns):
        y, x = divmod(i, columns)
        near = at(y, x - 1), at(y - 1, x), at(y - 1, x - 1), at(y - 1, x + 1)
        out.append(plain_bit(r, odds[sum(v << k for k, v in enumerate(near))], 60))
    r.end()
    return out

def main():
    data, at, count, failed = open(sys.argv[1], "rb").read(), 0, 0, 0
    while at < len(data):
        w, h, planes, maxval, mapped, size = struct.unpack_from("<6I", data, at)
        at += 24
        cells = data[at:at + mapped]
        coded = data[at + mapped:at + mapped + size]
        at += mapped + size
        want = struct.unpack_from("<%dH" % (w * h * planes), data, at)
        at += 2 * w * h * planes
        try: got = tile(coded, w, h, planes, maxval, cells)
        except (Damaged, IndexError) as e: got = repr(e)
        columns, wrong = (w + 15) // 16, 0
        for i, v in enumerate(want):
            p, x, y = i % planes, i // planes % w, i // planes // w
            if not cells or cells[y // 16 * columns + x // 16]:
                wrong += isinstance(got, str) or got[p][y][x] != v
        count += 1
        failed += wrong > 0
        modes = coded[0] % 4 if planes % 2 else -1
        shape = "%dx%dx%d, maxval %d%s" % (w, h, planes, maxval, ", mapped" if mapped else "")
        print("%sok %d - %s, %d bytes%s" % ("not " if wrong else "", count, shape,
              size, ", mode %d" % modes if modes >= 0 else ""))
        if isinstance(got, str): print("# " + got)
    print("1..%d" % count)
    return failed > 0

if __name__ == "__main__": sys.exit(main())
