"""Token buckets with bounded memory. A bucket is one number: when it will be full again (the virtual scheduling of ITU-T I.371)."""

cimport cython


@cython.final
cdef class Limit:
    cdef double cost  # seconds until a token is back
    cdef double depth  # seconds until an empty bucket is full
    cdef Py_ssize_t names_max
    cdef dict full_at  # name -> when its bucket is full again; absent: it is
    cdef readonly double rate

    def __init__(self, double rate, double burst, Py_ssize_t names_max=10_000):
        if rate < 0 or (rate > 0 and burst < 1):
            raise ValueError("a limit has a rate of at least 0 and lets at least 1 through at once")
        self.rate = rate
        self.cost = 1.0 / rate if rate else 0.0
        self.depth = burst * self.cost
        self.names_max = names_max
        self.full_at = {}

    cdef double ahead(self, str name, double now) except -1.0:
        """Seconds until the bucket of this name is full."""
        found = self.full_at.get(name)
        return 0.0 if found is None or <double> found <= now else <double> found - now

    cdef double wait(self, str name, double now, double count) except -1.0:
        """Seconds until `count` tokens are there, or as many as a full bucket has."""
        cdef double left = self.depth - self.ahead(name, now)
        cdef double asked = min(count * self.cost, self.depth)
        return 0.0 if asked <= left + 1e-9 else asked - left

    cdef int take(self, str name, double now, double count) except -1:
        if self.rate == 0:
            return 0
        if len(self.full_at) >= self.names_max and name not in self.full_at:
            self.trim(now)
        self.full_at[name] = now + self.ahead(name, now) + count * self.cost
        return 0

    cdef int trim(self, double now) except -1:
        """Forget the buckets that are full, which changes nothing; if that is too few, the names that came first."""
        self.full_at = {name: at for name, at in self.full_at.items() if <double> at > now}
        if len(self.full_at) > self.names_max // 2:
            for name in list(self.full_at)[: len(self.full_at) - self.names_max // 2]:
                del self.full_at[name]
        return 0

    def forget(self):
        self.full_at = {}

    def __len__(self):
        return len(self.full_at)


@cython.final
cdef class Throttle:
    cdef readonly Limit one
    cdef readonly Limit all

    def __init__(self, double rate, double burst, double total_rate, double total_burst, Py_ssize_t names_max=10_000):
        self.one = Limit(rate, burst, names_max)
        self.all = Limit(total_rate, total_burst)

    def wait_s(self, str name not None, double now):
        cdef double wait = max(self.one.wait(name, now, 1), self.all.wait("", now, 1))
        if wait == 0:
            self.one.take(name, now, 1)
            self.all.take("", now, 1)
        return wait

    def forget(self):
        self.one.forget()
        self.all.forget()


@cython.final
cdef class Limits:
    cdef readonly Limit client
    cdef readonly Limit card
    cdef readonly Limit all
    cdef readonly str over

    def __init__(self, Limit client not None, Limit card not None, Limit all not None):
        self.client = client
        self.card = card
        self.all = all
        self.over = ""

    def wait_s(self, str client not None, str card not None, double now, double count=1):
        cdef double wait = self.client.wait(client, now, count)
        if wait > 0:
            self.over = "client"
            return wait
        if card:
            wait = self.card.wait(card, now, 1)
            if wait > 0:
                self.over = "card"
                return wait
        wait = self.all.wait("", now, count)
        if wait > 0:
            self.over = "all"
            return wait
        self.client.take(client, now, count)
        self.all.take("", now, count)
        if card:
            self.card.take(card, now, 1)
        return 0.0

    def card_wait_s(self, str card not None, double now):
        cdef double wait = self.card.wait(card, now, 1)
        if wait > 0:
            self.over = "card"
        else:
            self.card.take(card, now, 1)
        return wait
