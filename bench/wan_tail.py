#!/usr/bin/env python3
"""The end of a transfer over many connections of a path with random loss: what would parity over the last chunks save?
usage: wan_tail.py [ROUNDS]     prints round trips until the receiver has all, from when three chunks for each connection are left

A connection sends a chunk of 12 packets in one round trip. A lost packet is sent again one round trip later, two if nothing follows it
(the probe of RFC 8985); what is lost again is sent three later (a timeout). A chunk is there half a round trip after its last packet,
and the sender knows it after a whole one.

    nothing     each chunk is sent once
    repeated    as dx_bulk.h does: a connection with nothing left repeats the oldest chunk that is overdue elsewhere
    parity      an ideal code: any as many as there are chunks suffice. More are sent, by the part that heads the column"""
import heapq, random, statistics, sys

PACKETS = 12


def chunk_time(dice, loss, last):
    end = 1.0
    for packet in range(PACKETS):
        late, first = 0.0, True
        while dice.random() < loss:
            late += (2 if last and packet >= PACKETS - 2 else 1) if first else 3
            first = False
        end = max(end, (packet + 1) / PACKETS + late)
    return end


def transfer(dice, connections, loss, repeated=False, parity=0.0):
    needed = 3 * connections
    queue = list(range(needed + int(needed * parity)))[::-1]
    events, arrived, begun, again = [], {}, {}, set()

    def give(now, connection, chunk):
        took = chunk_time(dice, loss, not queue)
        arrived[chunk] = min(arrived.get(chunk, now + took + 0.5), now + took + 0.5)
        begun.setdefault(chunk, now)
        heapq.heappush(events, (now + took, connection, chunk))

    for connection in range(connections):
        give(dice.random(), connection, queue.pop())
    while events:
        now, connection, _ = heapq.heappop(events)
        if queue:
            give(now, connection, queue.pop())
        elif repeated:
            overdue = [c for c in arrived if arrived[c] + 0.5 > now and c not in again and now - begun[c] > 2]
            if overdue:
                oldest = min(overdue, key=begun.get)
                again.add(oldest)
                give(now, connection, oldest)
    return sorted(arrived.values())[needed - 1]


def main():
    rounds = int(sys.argv[1]) if sys.argv[1:] else 200
    dice = random.Random(1)
    ways = [("nothing", {}), ("repeated", {"repeated": True})] + [("parity %g %%" % (p * 100), {"parity": p}) for p in (0.05, 0.1, 0.2)]
    print("%6s %12s  " % ("loss", "connections") + "  ".join("%10s" % name for name, _ in ways))
    for loss in (0.001, 0.01, 0.02):
        for connections in (16, 64, 192):
            ends = [statistics.mean(transfer(dice, connections, loss, **how) for _ in range(rounds)) for _, how in ways]
            print("%5g%% %12d  " % (loss * 100, connections) + "  ".join("%10.2f" % e for e in ends), flush=True)


main()
