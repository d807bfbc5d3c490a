#!/usr/bin/env python3
"""The HTTP side of `dxup serve`: requests of curl and browsers, and ones they never send; and a burst of frames on the other side.
DXUP=build/dxup, DX_FUZZ=n connections with random input, DX_TEST=name of tests,
DX_TIER=native: two kinds of floods instead of six"""
import email.utils, gzip, html.parser, http.client, json, os, random, re, resource, selectors, shutil, signal, socket, struct, subprocess, sys, tempfile, threading, time, urllib.parse

DXUP = os.environ.get("DXUP", "build/dxup")
FUZZ = int(os.environ.get("DX_FUZZ", "1500"))
work = tempfile.mkdtemp()
store = os.path.join(work, "store")
passed = failed = 0


def dxup(*arguments):
    done = subprocess.run([DXUP, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout.decode()
    return done.stdout.decode()


def publish(name, content):
    path = os.path.join(work, "file")
    with open(path, "wb") as f:
        f.write(content)
    dxup("publish", store, name, path, "--quiet")
    return re.search(r"[0-9a-f]{64}", dxup("log", store, name)).group()


dice = random.Random(int(os.environ.get("DX_TEST_SEED", "7")))
old = dice.randbytes(200000)
new = old[:90000] + b"something new" + old[90100:]
old_tag = publish("app.bin", old)
new_tag = publish("app.bin", new)
publish("index.html", b"<p>page")
publish("a name.txt", b"text")
publish("empty", b"")
server = subprocess.Popen([DXUP, "serve", store, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--status", "127.0.0.1:0", "--workers", "1"], stdout=subprocess.PIPE)
port = frames_port = status_port = 0
while not status_port:
    line = server.stdout.readline().decode()
    assert line, "dxup does not serve"
    found = re.search(r":(\d+) for HTTP", line)
    port = int(found.group(1)) if found else port
    found = re.search(r":(\d+) for status", line)
    status_port = int(found.group(1)) if found else 0
    found = re.search(r":(\d+) with", line)
    frames_port = int(found.group(1)) if found else frames_port


def get(path, method="GET", to=0, **fields):
    c = http.client.HTTPConnection("127.0.0.1", to or port, timeout=300)
    c.request(method, path, headers={name.replace("_", "-"): value for name, value in fields.items()})
    r = c.getresponse()
    body = r.read()
    c.close()
    return r, body


def raw(data, shut=False, to=0):
    """All bytes that come back until the server closes."""
    s = socket.create_connection(("127.0.0.1", to or port), timeout=300)
    s.sendall(data)
    if shut:
        s.shutdown(socket.SHUT_WR)
    answer = b""
    while True:
        try:
            part = s.recv(65536)
        except ConnectionResetError:
            break
        if not part:
            break
        answer += part
    s.close()
    return answer


def attempt(test):
    global passed, failed
    if test.__name__ not in os.environ.get("DX_CASES", test.__name__).split():
        return
    began = time.time()
    try:
        test()
        passed += 1
        print(f"ok   {test.__name__} {time.time() - began:.1f} s")
    except Exception as error:
        failed += 1
        print(f"FAIL {test.__name__}: {error!r}")


def ec_11_whole_with_a_strong_etag():
    r, body = get("/app.bin")
    assert (r.status, body, r.headers["ETag"], r.headers["Content-Length"]) == (200, new, f'"{new_tag}"', str(len(new)))
    assert get("/app.bin?x=1")[1] == new and get("/empty")[1] == b"" and get("/")[1] == b"<p>page" and get("/a%20name.txt")[1] == b"text"
    assert get("/")[0].headers["Content-Type"] == "text/html; charset=utf-8"


def ec_11_the_same_version_is_304():
    weak = f'W/"{new_tag[:32]}:2"' # by half of the hash and the number of the version
    for tags in (f'"{new_tag}"', f'"other", W/"x", "{old_tag}" , "{new_tag}"', f' W/"{new_tag}"', weak, "*"):
        r, body = get("/app.bin", If_None_Match=tags)
        assert (r.status, body, r.headers["ETag"]) == (304, b"", f'"{new_tag}"'), (r.status, tags)


def ec_11_d3_an_old_version_is_226_with_a_patch():
    r, body = get("/app.bin", If_None_Match=f'"{old_tag}"', A_IM="gzip, dx-patch;q=1")
    assert (r.status, r.headers["IM"], r.headers["Delta-Base"], r.headers["ETag"]) == (226, "dx-patch", f'"{old_tag}"', f'"{new_tag}"'), r.status
    assert len(body) < 1000 and int(r.headers["Content-Length"]) == len(body)
    by_number = get("/app.bin", If_None_Match=f'W/"{old_tag[:32]}:1"', A_IM="dx-patch")
    assert (by_number[0].status, by_number[0].headers["Delta-Base"], by_number[1]) == (226, f'"{old_tag}"', body)
    with open(f"{work}/patch", "wb") as f:
        f.write(body)
    with open(f"{work}/old", "wb") as f:
        f.write(old)
    subprocess.check_call(["build/dxpatch", "apply", f"{work}/old", f"{work}/patch", f"{work}/new"], stdout=subprocess.DEVNULL)
    with open(f"{work}/new", "rb") as f:
        assert f.read() == new


def ec_11_a_version_by_its_number_is_kept_for_a_year():
    for path, content, tag in (("/app.bin@1", old, old_tag), ("/app.bin@2", new, new_tag)):
        r, body = get(path)
        assert (r.status, body, r.headers["Cache-Control"]) == (200, content, "public, max-age=31536000, immutable"), path
        r, body = get(path, If_None_Match=f'"{tag}"')
        assert (r.status, body, r.headers["Cache-Control"]) == (304, b"", "public, max-age=31536000, immutable"), path
    assert get("/app.bin")[0].headers["Cache-Control"] == "no-cache"
    assert get("/app.bin", If_None_Match=f'"{old_tag}"', A_IM="dx-patch")[0].headers["Cache-Control"] == "no-store"
    assert get("/app.bin@3")[0].status == get("/app.bin@99999999999999999999")[0].status == 404


def ec_11_unknown_or_unwilling_is_the_whole():
    for fields in ({"If_None_Match": f'"{old_tag}"'}, {"If_None_Match": f'"{"0" * 64}"', "A_IM": "dx-patch"}, {"A_IM": "dx-patch"},
                   {"If_None_Match": f'W/"{old_tag[:32]}:2", W/"{new_tag[:32]}:1"', "A_IM": "dx-patch"}, {"If_None_Match": old_tag, "A_IM": "dx-patch"},
                   {"If_None_Match": '"', "A_IM": "dx-patch"}, {"If_None_Match": f'"{old_tag}"', "A_IM": "dx-patches"}):
        r, body = get("/app.bin", **fields)
        assert (r.status, body) == (200, new), (r.status, fields)


def head_has_no_body():
    r, body = get("/app.bin", method="HEAD")
    assert (r.status, body, r.headers["Content-Length"]) == (200, b"", str(len(new)))


def refusals_have_their_status():
    assert get("/nothing")[0].status == 404 and get("/%00")[0].status == 400 and get("/%zz")[0].status == 400 and get("/" + "a" * 300)[0].status == 400
    assert get("/app.bin", method="POST")[0].status == 405 and get("/../etc/passwd")[0].status == 404
    assert get("/app.bin@0")[0].status == 404 and get("/app.bin@00")[0].status == 404 and get("/site@0/")[0].status == 404 and get("/app.bin@1")[0].status == 200
    for hosts, status in ((b"", 400), (b"Host: a\r\nHost: b\r\n", 400), (b"Host: a\r\nX: y\r\nhost: a\r\n", 400), (b"Host:\r\n", 200), (b"X-Host: a\r\n", 400)):
        answer = raw(b"GET /app.bin@1 HTTP/1.1\r\n" + hosts + b"Connection: close\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 %d " % status), (hosts, answer[:40])
    assert raw(b"GET /app.bin@1 HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 ") and raw(b"GET /app.bin@1 HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    for data, status in ((b"GET /\r\n\r\n", 400), (b"GET / HTTP/2.0\r\n\r\n", 505), (b"GET / HTTP/1.1\n\n", 400), (b"\r\n\r\n", 400),
                         (b"GET / HTTP/1.1\r\nHost: a\r\nA b: c\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
                         (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody", 413), (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 9000, 431)):
        answer = raw(data)
        assert answer.startswith(b"HTTP/1.1 %d " % status), (data[:40], answer[:40])


def pages_of_an_allowed_origin_may_read():
    fields = ("Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "Access-Control-Allow-Methods")
    r, _ = get("/app.bin", Origin="https://app.example")
    assert not any(r.headers[name] for name in fields) and get("/app.bin", method="OPTIONS")[0].status == 405
    os.makedirs(f"{work}/allowed/sub")
    dxup("publish", store, "allowed", f"{work}/allowed", "--quiet")
    for origin in ("https://app.example", "*", "http://[::1]:8080"):
        with subprocess.Popen([DXUP, "serve", store, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--status", "127.0.0.1:0", "--workers", "1",
                               "--allow-origin", origin], stdout=subprocess.PIPE, text=True) as other:
            try:
                said = ""
                while "for status" not in said:
                    said += other.stdout.readline() or exit("dxup does not serve")
                to, status = (int(re.search(rf":(\d+) for {what}", said).group(1)) for what in ("HTTP", "status"))
                for path, wanted, sent in (("/app.bin", 200, {}), ("/app.bin", 304, {"If-None-Match": f'"{new_tag}"'}), ("/nothing", 404, {}), ("/allowed/", 200, {}),
                                           ("/app.bin", 226, {"If-None-Match": f'"{old_tag}"', "A-IM": "dx-patch"}), ("/app.bin", 206, {"Range": "bytes=0-3"}), ("/allowed/sub", 302, {})):
                    r, body = get(path, to=to, Origin="https://evil.example", **sent)
                    exposed = r.headers["Access-Control-Expose-Headers"].split(", ")
                    assert r.status == wanted and r.headers["Access-Control-Allow-Origin"] == origin and "ETag" in exposed and "Vary" in exposed, (path, wanted, r.status, r.getheaders())
                r, body = get("/app.bin", "OPTIONS", to, Origin="https://app.example", Access_Control_Request_Method="GET", Access_Control_Request_Headers="a-im,if-none-match")
                allowed = r.headers["Access-Control-Allow-Headers"].split(", ")
                assert r.status == 204 and body == b"" and r.headers["Content-Length"] is None and r.headers["Access-Control-Allow-Origin"] == origin, r.getheaders()
                assert "A-IM" in allowed and "If-None-Match" in allowed and r.headers["Access-Control-Allow-Methods"] == "GET, HEAD" and r.headers["Access-Control-Max-Age"] == "7200"
                # only that method, whole: nothing else is let through, and what follows it is not answered
                assert raw(b"OPTION /app.bin HTTP/1.1\r\nHost: a\r\n\r\n", to=to).startswith(b"HTTP/1.1 405 ") and raw(b"OPTIONS /app.bin HTTP/3.1\r\n\r\n", to=to).startswith(b"HTTP/1.1 505 ")
                assert raw(b"OPTIONS /app.bin HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", to=to).count(b"HTTP/1.1 ") == 1
                assert get("/app.bin", "POST", to)[0].status == 405 and get("/", "OPTIONS", status)[0].status == 405
                assert not get("/", to=status)[0].headers["Access-Control-Allow-Origin"]
            finally:
                other.terminate()
    for origin in ("", "app.example", "https://", "https://a/", "https://a/b", "https://A.example", "https://a b", "https://a\r\nX: y", "null", "https://:80", "://a", "https://" + "a" * 300):
        done = subprocess.run([DXUP, "serve", store, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--allow-origin", origin], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        assert done.returncode == 1 and (b"is not an origin" in done.stderr or not origin), (origin, done)
    done = subprocess.run([DXUP, "serve", store, "--listen", "127.0.0.1:0", "--allow-origin", "*"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 1 and b"--allow-origin needs --http" in done.stderr, done


def make_site():
    """A tree with the files of a website, and ones that an attacker would like it to have; published once."""
    top = f"{work}/site"
    os.makedirs(f"{top}/sub/deep")
    os.makedirs(f"{top}/empty")
    os.makedirs(f"{top}/<b>&\"'")
    files = {"index.html": b"<p>site", "sub/large.bin": dice.randbytes(1000000), "sub/small": b"0123456789", "sub/deep/none": b"",
             "sub/text.txt": b"".join(b"line %d of a text that repeats itself\n" % i for i in range(5000)), "a b%#?.html": b"odd", "<b>&\"'/x": b"x"}
    for path, content in files.items():
        with open(f"{top}/{path}", "wb") as f:
            f.write(content)
    with open(os.fsencode(top) + b"/sub/\xff\x1b\xe2\x80\xaez", "wb") as f:
        f.write(b"no utf-8")
    with open(f"{work}/secret", "w") as f:
        f.write("secret")
    for link, target in (("link", "/etc/passwd"), ("up", "../secret"), ("sub/inside", "small"), ("folder", "sub")):
        os.symlink(target, f"{top}/{link}")
    dxup("publish", store, "site", top, "--quiet")
    return files


site = make_site()


def a_tree_by_its_paths():
    tags = set()
    for path, content in site.items():
        url = "/site/" + urllib.parse.quote(path)
        r, body = get(url)
        assert (r.status, body, r.headers["Content-Length"], r.headers["Accept-Ranges"]) == (200, content, str(len(content)), "bytes"), path
        assert r.headers["Cache-Control"] == "no-cache" and r.headers["X-Content-Type-Options"] == "nosniff"
        head, nothing = get(url, method="HEAD")
        assert (head.status, nothing, head.headers["Content-Length"], head.headers["ETag"]) == (200, b"", str(len(content)), r.headers["ETag"]), path
        tags.add(r.headers["ETag"])
        for tag in (r.headers["ETag"], '"x", W/' + r.headers["ETag"], "*"):
            again, nothing = get(url, If_None_Match=tag)
            assert (again.status, nothing, again.headers["ETag"]) == (304, b"", r.headers["ETag"]), (path, tag)
        assert get(url, If_None_Match='"' + "0" * 64 + '"')[1] == content
        fixed, body = get(url.replace("/site/", "/site@1/"))
        assert (body, fixed.headers["Cache-Control"]) == (content, "public, max-age=31536000, immutable"), path
    assert len(tags) == len(site), "two contents have one tag"
    assert get("/site/index.html")[0].headers["Content-Type"] == "text/html; charset=utf-8"
    assert get("/site%2Fsub%2fsmall")[1] == b"0123456789" and get("/site/sub/%FF%1B%E2%80%AEz")[1] == b"no utf-8"
    dxup("tag", store, "site@1", "live")
    assert get("/site@live/sub/small")[1] == b"0123456789"


def what_is_no_path_in_a_tree_is_404():
    for path in ("/site/sub/../../app.bin", "/site/../app.bin", "/site/%2e%2e/app.bin", "/site/..%2f..%2fetc/passwd", "/site//etc/passwd", "/site/./sub/small",
                 "/site/sub//small", "/site//", "//site/sub/small", "/site/sub/small/", "/site/sub/small/x", "/site/nothing", "/site@2/", "/site@99/sub/small", "/app.bin/",
                 "/app.bin/x", "/site/link", "/site/up", "/site/sub/inside", "/site/folder/small", "/site/folder/", "/site/link/", "/nothing/sub/",
                 "/site/sub\\small", "/site/%252e%252e/app.bin", "/site/" + "a/" * 2000, "/site/" + "../" * 1300 + "etc/passwd", "/" + "/" * 3000):
        r, body = get(path)
        assert (r.status, body) == (404, b"404 Not Found\n"), (path[:60], r.status, body[:60])
    for path in ("/site/%00", "/site/sub%", "/site/%zz", "/site/" + "a" * 4500):
        assert get(path)[0].status == 400, path[:60]
    assert raw(b"GET /site/" + b"a/" * 5000 + b" HTTP/1.1\r\nHost: a\r\n\r\n").startswith(b"HTTP/1.1 431 ")


def an_index_page_of_a_directory():
    for path, location in (("/site", "/site/"), ("/site@1", "/site%401/"), ("/site/sub", "./sub/"), ("/site/sub/deep", "./deep/"),
                           ("/site/%3Cb%3E&%22'", "./%3Cb%3E%26%22%27/")):
        r, body = get(path)
        assert (r.status, body, r.headers["Location"]) == (302, b"", location), (path, r.status, r.headers["Location"])
        assert get(urllib.parse.urljoin(path, location))[0].status == 200, path
    class Links(html.parser.HTMLParser):
        def __init__(self, text):
            super().__init__()
            self.tags, self.links = set(), []
            self.feed(text)
        def handle_starttag(self, tag, attributes):
            self.tags.add(tag)
            self.links += [value for name, value in attributes if name == "href"]
    todo, seen, content = ["/site/"], set(), {}
    while todo: # follow every link, as a browser does: all files are found, and nothing else
        url = todo.pop()
        r, body = get(url)
        assert r.status == 200, url
        if not url.endswith("/"):
            content[urllib.parse.unquote_to_bytes(url)[len("/site/"):]] = body
            continue
        page = Links(body.decode())
        assert page.tags <= {"html", "meta", "title", "style", "h1", "table", "tr", "th", "td", "a", "p"}, page.tags
        assert r.headers["Content-Type"] == "text/html; charset=utf-8" and "default-src 'none'" in r.headers["Content-Security-Policy"]
        assert get(url, If_None_Match=r.headers["ETag"])[0].status == 304
        head, nothing = get(url, method="HEAD")
        assert (nothing, head.headers["Content-Length"]) == (b"", str(len(body)))
        for link in page.links:
            there = urllib.parse.urljoin(url, link)
            if there.startswith("/site/") and there not in seen:
                seen.add(there)
                todo.append(there)
    wanted = {path.encode(): body for path, body in site.items()}
    wanted[b"sub/\xff\x1b\xe2\x80\xaez"] = b"no utf-8"
    assert content == wanted, content.keys() ^ wanted.keys()
    body = get("/site/")[1]
    assert b"<b>" not in body and b"&lt;b&gt;&amp;&quot;&#39;/" in body and b"link@" in body and b"passwd" not in body
    assert b"\x1b" not in get("/site/sub/")[1] and b"\\xff\\x1b" in get("/site/sub/")[1]


def make_many():
    """A tree with one long directory."""
    top = f"{work}/many"
    os.makedirs(top)
    for i in range(2345):
        open(f"{top}/{i:04d}" + "-" * 200, "w").close()
    dxup("publish", store, "many", top, "--quiet")


make_many()


def long_directories_come_in_pages():
    found, url, pages = [], "/many/", 0
    while url:
        r, body = get(url)
        assert r.status == 200 and len(body) < 140000, (url, len(body))
        found += re.findall(rb'<a href="\./(\d+)', body)
        more = re.search(rb'<a href="(\?from=[0-9A-Za-z%._~-]+)">more', body)
        url, pages = "/many/" + more.group(1).decode() if more else None, pages + 1
    assert found == [b"%04d" % i for i in range(2345)] and pages > 3, (len(found), pages)
    for skip in ("2345", "99999999999999999999999", "-1", "x", ""):
        assert get("/many/?from=" + skip)[0].status == 200, skip


def processor_ns():
    """Of all threads of the server so far; None: the system does not say."""
    try:
        return sum(int(open(f"/proc/{server.pid}/task/{t}/schedstat").read().split()[0]) for t in os.listdir(f"/proc/{server.pid}/task"))
    except OSError:
        return None


def a_request_costs_by_what_it_returns():
    """Not by the directory: neither a file in a large one, nor the last page of it."""
    if processor_ns() is None:
        print("         skip: no processor time of threads")
        return
    dxup("publish", store, "few", f"{work}/site/sub", "--quiet")
    def cost(path, size):
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        began = 0
        for i in range(220):
            if i == 20:
                began = processor_ns()
            c.request("GET", path)
            body = c.getresponse().read()
            assert size(len(body)), (path, len(body))
        c.close()
        return (processor_ns() - began) / 200e3
    few, many = cost("/few/small", lambda n: n == 10), cost("/many/2300" + "-" * 200, lambda n: n == 0)
    first, last = cost("/many/", lambda n: n > 100000), cost("/many/?from=2330", lambda n: 2000 < n < 20000)
    print(f"         us of processor time: a file among 6 {few:.0f}, among 2,345 {many:.0f}; a page of 128 KiB {first:.0f}, the last 15 entries {last:.0f}")
    assert many < 3 * few and last < first / 3, (few, many, first, last)


def a_long_pipeline_leaves_its_turn_to_others():
    """Twenty connections request a page twenty times each, without waiting for an answer: by HEAD, so that no output stops them.
    Between the sending of an ordinary request and its answer, each of them gets an answer or two, not all that it asked for."""
    log, hostile, each = f"{work}/turns.log", 20, 20
    own = subprocess.Popen([DXUP, "serve", store, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--workers", "1", "--log", log], stdout=subprocess.PIPE)
    stop = threading.Event()
    crowd, answers = [], [0]
    def read_all():
        selector = selectors.DefaultSelector()
        for s in crowd:
            selector.register(s, selectors.EVENT_READ)
        while not stop.is_set() and selector.get_map():
            for key, _ in selector.select(0.1):
                part = key.fileobj.recv(1 << 20)
                answers[0] += part.count(b"HTTP/1.1 200 OK")
                if not part:
                    selector.unregister(key.fileobj)
    try:
        text = b"".join(own.stdout.readline() for _ in range(2)).decode()
        to = int(re.search(r":(\d+) for HTTP", text).group(1))
        crowd = [socket.create_connection(("127.0.0.1", to), timeout=300) for _ in range(hostile)]
        reader = threading.Thread(target=read_all)
        reader.start()
        one = b"HEAD /many/ HTTP/1.1\r\nHost: a\r\n\r\n"
        for s in crowd:
            s.sendall(one * (each - 1) + one.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        sent = []
        while reader.is_alive() and len(sent) < 10:
            sent.append(time.time_ns())
            assert get("/app.bin@1", to=to)[1] == old
            time.sleep(0.01)
        reader.join()
    finally:
        stop.set()
        for s in crowd:
            s.close()
        own.send_signal(signal.SIGTERM)
        assert own.wait(60) == 0
    lines = [json.loads(line) for line in open(log)]
    begun = [e["time_ns"] for e in lines if e["request"] == "GET"]
    pages = [e["time_ns"] for e in lines if e["request"] == "HEAD"]
    assert len(pages) == hostile * each and len(begun) == len(sent) > 0, (len(pages), len(begun), len(sent))
    waited = [sum(1 for at in pages if since <= at < until) for since, until in zip(sent, begun)]
    print(f"         pages begun before an ordinary request that waited: {waited}")
    assert max(waited) <= 2 * hostile + 10, waited


def names_are_listed_where_no_index_is():
    assert get("/")[1] == b"<p>newer" or get("/")[1] == b"<p>page"
    other = f"{work}/other"
    with open(f"{work}/file", "wb") as f:
        f.write(b"1")
    for name in ("plain", "with/slash", "<i>", "//evil"):
        dxup("publish", other, name, f"{work}/file", "--quiet")
    dxup("publish", other, "tree/of", f"{work}/site/sub", "--quiet")
    dxup("publish", other, "//tree", f"{work}/site/sub", "--quiet")
    own = subprocess.Popen([DXUP, "serve", other, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--workers", "1"], stdout=subprocess.PIPE)
    try:
        own.stdout.readline()
        to = int(re.search(r":(\d+) for HTTP", own.stdout.readline().decode()).group(1))
        r, body = get("/", to=to)
        links = re.findall(r'href="(.*?)"', body.decode())
        assert (r.status, sorted(links)) == (200, sorted(["./%2F%2Fevil", "./%2F%2Ftree/", "./%3Ci%3E", "./plain", "./tree%2Fof/", "./with%2Fslash"])), links
        for link in links:
            there = urllib.parse.urljoin(f"http://127.0.0.1:{to}/", link)
            assert there.startswith(f"http://127.0.0.1:{to}/") and get(there[there.index("/", 8):], to=to)[0].status == 200, link
        assert get("/tree/of/small", to=to)[1] == b"0123456789" and get("/tree%2Fof", to=to)[0].headers["Location"] == "/tree%2Fof/"
        assert get("/%2F%2Ftree", to=to)[0].headers["Location"] == "/%2F%2Ftree/"
    finally:
        own.send_signal(signal.SIGTERM)
        assert own.wait(60) == 0


def single_ranges_of_files():
    large = site["sub/large.bin"]
    for path, content in (("/site/sub/large.bin", large), ("/site/sub/small", b"0123456789"), ("/app.bin", new), ("/app.bin@1", old)):
        size = len(content)
        tag = get(path, method="HEAD")[0].headers["ETag"]
        for text, first, last in (("0-0", 0, 0), ("0-", 0, size - 1), (f"{size - 1}-", size - 1, size - 1), ("-1", size - 1, size - 1), ("-4", size - 4, size - 1),
                                  (f"-{size + 5}", 0, size - 1), ("2-5", 2, 5), (f"3-{size + 9}", 3, size - 1), ("1-18446744073709551615", 1, size - 1),
                                  ("1-99999999999999999999999999", 1, size - 1), ("-99999999999999999999999999", 0, size - 1)):
            for fields in ({}, {"If_Range": tag}):
                r, body = get(path, Range="bytes=" + text, **fields)
                assert (r.status, r.headers["Content-Range"], r.headers["Content-Length"]) == (206, f"bytes {first}-{last}/{size}", str(last - first + 1)), (path, text)
                assert body == content[first:last + 1] and r.headers["ETag"] == tag, (path, text)
        for text in (f"{size}-", f"{size}-{size + 1}", "-0", "18446744073709551615-", "99999999999999999999999999-"):
            r, body = get(path, Range="bytes=" + text)
            assert (r.status, body, r.headers["Content-Range"]) == (416, b"", f"bytes */{size}"), (path, text, r.status)
        for text in ("bytes=5-2", "bytes=", "bytes=-", "bytes=a-b", "bytes=0-1,3-4", "items=0-1", "bytes 0-1", "bytes=0x1-2", "bytes=--1", "bytes=1--2", "bytes=1-2-3", "0-1"):
            r, body = get(path, Range=text)
            assert (r.status, body, r.headers["Content-Range"]) == (200, content, None), (path, text, r.status)
        for other in ('"' + "0" * 64 + '"', "W/" + tag, "Thu, 01 Jan 1970 00:00:00 GMT", tag[:-1], "*"):
            assert get(path, Range="bytes=0-0", If_Range=other)[0].status == 200, other
        assert get(path, method="HEAD", Range="bytes=0-0")[0].status == 200 and get(path, Range="bytes=0-0", If_None_Match=tag)[0].status == 304
        for _ in range(20): # like a browser that plays a film
            first = dice.randrange(size)
            last = min(size - 1, first + dice.randrange(300000))
            assert get(path, Range=f"bytes={first}-{last}")[1] == content[first:last + 1]
    assert get("/site/sub/deep/none", Range="bytes=0-")[0].status == 416 and get("/empty", Range="bytes=-1")[0].status == 416
    r, body = get("/app.bin", Range="bytes=0-9", If_None_Match=f'"{old_tag}"', A_IM="dx-patch")
    assert r.status == 226 and len(body) < 1000


def times_of(path, **fields):
    """The seconds of Last-Modified and Date."""
    r = get(path, method="HEAD", **fields)[0]
    stamps = [email.utils.parsedate_to_datetime(r.headers[name]) for name in ("Last-Modified", "Date")]
    assert [email.utils.format_datetime(at, usegmt=True) for at in stamps] == [r.headers["Last-Modified"], r.headers["Date"]], (path, str(r.headers))
    return [int(at.timestamp()) for at in stamps]


def date(seconds, form=0):
    at = time.gmtime(seconds)
    day = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")[at.tm_wday]
    month = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")[at.tm_mon - 1]
    clock = f"{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02}"
    return (f"{day[:3]}, {at.tm_mday:02} {month} {at.tm_year:04} {clock} GMT", f"{day}, {at.tm_mday:02}-{month}-{at.tm_year % 100:02} {clock} GMT",
            f"{day[:3]} {month} {at.tm_mday:2} {clock} {at.tm_year:04}")[form]


def versions_of(name):
    """Of dxup log: the seconds of each version."""
    return {e["version"]: e["time_ns"] // 10 ** 9 for e in map(json.loads, dxup("log", store, name, "--json").splitlines())}


def dates_of_versions():
    """As dxup log knows them. A condition holds at its very second, in each of the three formats, and not a second beside it."""
    publish("dated", b"one")
    time.sleep(1.1) # not of the same second
    publish("dated", b"two")
    wanted = versions_of("dated")
    for path, version in (("/dated", 2), ("/dated@1", 1), ("/dated@2", 2)):
        modified, now = times_of(path)
        assert modified == wanted[version] and abs(now - time.time()) < 60, (path, modified, wanted)
        for form in range(3):
            for at, status in ((modified, 304), (modified + 1, 304), (modified - 1, 200), (modified - 10 ** 9, 200)):
                r, body = get(path, If_Modified_Since=date(at, form))
                assert (r.status, len(body)) == (status, 3 if status == 200 else 0) and r.headers["Date"], (path, form, at - modified, r.status)
            for at, status in ((modified, 200), (modified + 1, 200), (modified - 1, 412)):
                assert get(path, If_Unmodified_Since=date(at, form))[0].status == status, (path, form, at - modified)
    for leap in (951782400, 951868800, 4107456000, 4107542400, -2203977600, 1709164800, 68169600): # the days around the end of February
        modified = times_of("/dated")[0]
        assert get("/dated", If_Unmodified_Since=date(leap))[0].status == (200 if leap >= modified else 412), leap
    exact = date(wanted[2])
    for wrong in ("", "x", exact[:-4], exact + " ", exact.lower(), exact.replace("GMT", "UTC"), exact + "x", "Sun, 31 Feb 2100 00:00:00 GMT", "Sun, 29 Feb 2100 00:00:00 GMT",
                  "Sun, 00 Jan 2100 00:00:00 GMT", "Sun, 01 Jan 2100 24:00:00 GMT", "Sun, 01 Jan 2100 00:60:00 GMT", "Sun, 1 Jan 2100 00:00:00 GMT", str(2 ** 40)):
        allowed = 304 if wrong.strip() == exact else 200
        assert get("/dated", If_Modified_Since=wrong)[0].status == allowed, wrong
    assert get("/dated", If_Modified_Since=exact, If_None_Match='"x"')[0].status == 200 # the stronger condition counts alone
    answer = raw(b"GET /dated HTTP/1.1\r\nHost: a\r\nIf-Modified-Since: " + exact.encode() + b"\r\nIf-Modified-Since: " + exact.encode() + b"\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200"), answer[:60]
    dxup("tag", store, "dated@1", "old")
    modified = times_of("/dated@old")[0]
    assert modified == wanted[1] and get("/dated@old", If_Modified_Since=date(modified))[0].status == 304
    assert get("/dated@old", If_Modified_Since=exact)[0].status == 200 # a client of version 2, before the tag went back
    times = [0, 1]
    for _ in range(100): # two versions in one second: a date does not tell which of them a client has
        tags = [publish("dated", b"%d" % dice.getrandbits(60)) for _ in range(2)]
        times = list(versions_of("dated").values())[:2]
        if times[0] == times[1]:
            break
    assert times[0] == times[1] == times_of("/dated")[0]
    assert get("/dated", If_Modified_Since=date(times[1]))[0].status == 200 and get("/dated", If_None_Match=f'"{tags[1]}"')[0].status == 304


def conditions_of_files_and_trees():
    """If-Match compares strongly, and fails where nothing matches; conditions are no answer to what is not there."""
    for path in ("/app.bin", "/app.bin@1", "/site/sub/text.txt", "/site@1/sub/text.txt", "/site/sub/", "/site/"):
        r, body = get(path)
        tag, modified = r.headers["ETag"], times_of(path)[0]
        for value in (tag, "*", f'"x", {tag}', f'W/"x" , {tag} '):
            assert get(path, If_Match=value)[1] == body, (path, value)
        for value in ('"x"', "W/" + tag, '"' + "0" * 64 + '"', "", tag[1:-1], tag[:-1]):
            r, refused = get(path, If_Match=value)
            assert (r.status, refused) == (412, b"412 Precondition Failed\n"), (path, value, r.status)
        assert get(path, If_Match='"x"', If_None_Match=tag)[0].status == 412 and get(path, If_Match=tag, If_None_Match=tag)[0].status == 304
        assert get(path, If_Match=tag, If_Unmodified_Since=date(0))[0].status == 200 # the date counts only without If-Match
        assert get(path, If_Unmodified_Since=date(0), If_None_Match=tag)[0].status == 412
        assert get(path, If_Match='"x"', Range="bytes=0-0")[0].status == 412
        assert get(path, method="HEAD", If_Match='"x"')[0].status == 412 and get(path, method="HEAD", If_Modified_Since=date(modified - 1))[0].status == 200
    assert get("/site/sub/text.txt", If_Match='"x"', Range="bytes=99999999-")[0].status == 412
    for path in ("/nothing", "/site/nothing"):
        assert get(path, If_Match="*")[0].status == 404 and get(path, If_Match='"x"')[0].status == 404
    assert get("/site/sub", If_Match='"x"')[0].status == 302 and "Last-Modified" not in get("/site/sub")[0].headers
    r, body = get("/app.bin", If_None_Match=f'"{old_tag}"', A_IM="dx-patch", If_Match=f'"{new_tag}"')
    assert r.status == 226 and r.headers["Last-Modified"]
    for data in (b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n", b"POST / HTTP/1.1\r\nHost: a\r\n\r\n", b"x\r\n\r\n"):
        assert b"\r\nDate: " in raw(data, shut=True), data


def weights_of_encodings():
    """As RFC 9110 writes them: parameters in any order, quoted strings, and weights that are none."""
    linked = subprocess.run(["ldd", DXUP], stdout=subprocess.PIPE).stdout
    if b"libz." not in linked or b"libzstd" not in linked:
        print("         skip: built without zlib or zstd")
        return
    for accepted, wanted in (("gzip", "gzip"), ("gzip;q=0", None), ("gzip;level=3;q=0", None), ("gzip;level=3;q=1", "gzip"), ('gzip;a="x,zstd";q=0.5', "gzip"), ('gzip;a="q=0"', "gzip"),
                             ('gzip;a="\\";q=1"', "gzip"), ('gzip;a=", zstd', None), ("gzip;Q=0", None), ("gzip;q=0.001", "gzip"), ("gzip;q=0.0001", None), ("gzip;q=2", None), ("gzip;q=-1", None),
                             ("gzip;q=1.001", None), ("gzip;q=.5", None), ("gzip;q=0.", None), ("gzip;q=1.", "gzip"), ('gzip;q="1"', None), ("gzip;q", None), ("gzip;;q=1;", "gzip"), ("gzip q=1", None),
                             ("gzip;q=1, gzip;q=0", None), ("*", "zstd"), ("*;q=0", None), ("*;q=0, gzip", "gzip"), ("zstd;q=0, *", "gzip"), ("gzip;q=0.8, zstd;q=0.5", "gzip"),
                             ("gzip, zstd", "zstd"), ("identity, gzip;q=0.5", None), ("identity;q=0.5, gzip;q=0.5", "gzip"), ("identity;q=0", None), (";q=1", None), (",,gzip,,", "gzip"),
                             ("gzip;q=00", None), ("level=3;gzip", None)):
        r, body = get("/site/sub/text.txt", Accept_Encoding=accepted)
        assert (r.status, r.headers["Content-Encoding"]) == (200, wanted), (accepted, r.headers["Content-Encoding"])


def bodies_are_encoded_where_it_pays():
    """zstd before gzip, with tags of their own; never for a range, nor for content that does not shrink."""
    linked = subprocess.run(["ldd", DXUP], stdout=subprocess.PIPE).stdout
    encodings = [name for name, library in (("zstd", b"libzstd"), ("gzip", b"libz.")) if library in linked]
    if not encodings:
        print("         skip: built without zstd and zlib")
        return
    text, url = site["sub/text.txt"], "/site/sub/text.txt"
    plain = get(url)[0]
    assert (plain.headers["Content-Encoding"], plain.headers["Vary"]) == (None, "Accept-Encoding")
    for name in encodings:
        for accepted in (name, "br, " + name, name.upper() + ";q=0.5", "x;q=1 , " + name + " ; q=1.0"):
            r, body = get(url, Accept_Encoding=accepted)
            assert (r.status, r.headers["Content-Encoding"], r.headers["Vary"], r.headers["ETag"]) == (200, name, "Accept-Encoding", plain.headers["ETag"][:-1] + f'-{name}"'), accepted
            assert int(r.headers["Content-Length"]) == len(body) < len(text) / 2
            back = gzip.decompress(body) if name == "gzip" else subprocess.run(["zstd", "-dc"], input=body, stdout=subprocess.PIPE).stdout if shutil.which("zstd") else text
            assert back == text, accepted
            head, nothing = get(url, method="HEAD", Accept_Encoding=accepted)
            assert (nothing, head.headers["Content-Length"], head.headers["ETag"]) == (b"", str(len(body)), r.headers["ETag"])
        assert get(url, Accept_Encoding=name, If_None_Match=r.headers["ETag"])[0].status == get(url, If_None_Match=r.headers["ETag"])[0].status == 304
        part, body = get(url, Accept_Encoding=name, Range="bytes=100-199")
        assert (part.status, part.headers["Content-Encoding"], body) == (206, None, text[100:200])
        assert get(url, Accept_Encoding=name, Range="bytes=100-199", If_Range=r.headers["ETag"])[1] != text[100:200] # a range of the encoded body, which is refused
        for path in ("sub/large.bin", "sub/small", "sub/deep/none"): # random, too small
            for _ in range(2):
                r, body = get("/site/" + path, Accept_Encoding=name)
                assert (r.headers["Content-Encoding"], body) == (None, site[path]), path
        r, body = get("/site/", Accept_Encoding=name)
        assert (r.status, r.headers["Content-Encoding"]) == (200, name)
    assert get(url, Accept_Encoding="gzip, zstd")[0].headers["Content-Encoding"] == encodings[0]
    for refused in ("identity", "zstd;q=0, gzip;q=0", "zstd; q=0.000 , gzip;q=0.0", "zst, gzipp", "", "br"):
        r, body = get(url, Accept_Encoding=refused)
        assert (r.headers["Content-Encoding"], body) == (None, text), refused


def a_published_file_is_encoded_too():
    """Its tag names the encoding, and still leads to 304, and to a patch from what it names."""
    linked = subprocess.run(["ldd", DXUP], stdout=subprocess.PIPE).stdout
    encodings = [name for name, library in (("zstd", b"libzstd"), ("gzip", b"libz.")) if library in linked]
    if not encodings:
        print("         skip: built without zstd and zlib")
        return
    words = [b"%x " % dice.getrandbits(32) for _ in range(500)]
    first = b"".join(dice.choices(words, k=20000))
    second = first[:50000] + b"changed" + first[50009:]
    tags = [publish("words.txt", first), publish("words.txt", second)]
    for name in encodings:
        r, body = get("/words.txt", Accept_Encoding=name)
        assert (r.status, r.headers["Content-Encoding"], r.headers["ETag"]) == (200, name, f'"{tags[1]}-{name}"'), r.headers
        assert {v for line in r.headers.get_all("Vary") for v in line.split(", ")} == {"A-IM", "Accept-Encoding"}
        assert int(r.headers["Content-Length"]) == len(body) < len(second) / 2
        back = gzip.decompress(body) if name == "gzip" else subprocess.run(["zstd", "-dc"], input=body, stdout=subprocess.PIPE).stdout if shutil.which("zstd") else second
        assert back == second
        head, nothing = get("/words.txt", method="HEAD", Accept_Encoding=name)
        assert (nothing, head.headers["Content-Length"], head.headers["ETag"]) == (b"", str(len(body)), r.headers["ETag"])
        for tag, accepted in ((f'"{tags[1]}-{name}"', name), (f'"{tags[1]}-{name}"', "identity"), (f'"{tags[1]}"', name)):
            assert get("/words.txt", Accept_Encoding=accepted, If_None_Match=tag, A_IM="dx-patch")[0].status == 304, tag
        patch = get("/words.txt", Accept_Encoding=name, If_None_Match=f'"{tags[0]}-{name}"', A_IM="dx-patch")
        assert (patch[0].status, patch[0].headers["Content-Encoding"], patch[0].headers["ETag"], patch[0].headers["Delta-Base"]) == (226, None, f'"{tags[1]}"', f'"{tags[0]}"')
        for foreign in (f'"{tags[1]}-"', f'"{tags[1]}+{name}"', f'"{tags[1]}-G"', f'"{tags[1]}{name}"', f'"{tags[1][:-1]}-{name}"'):
            assert get("/words.txt", Accept_Encoding="identity", If_None_Match=foreign)[0].status == 200, foreign
        part, body = get("/words.txt", Accept_Encoding=name, Range="bytes=100-199")
        assert (part.status, part.headers["Content-Encoding"], part.headers["ETag"], body) == (206, None, f'"{tags[1]}"', second[100:200])
        assert get("/words.txt", Accept_Encoding=name, Range="bytes=100-199", If_Range=f'"{tags[1]}-{name}"')[1] != second[100:200]
        assert get("/words.txt", If_Match=f'"{tags[1]}-{name}"')[0].status == 200 and get("/words.txt", If_Match=f'"{tags[0]}-{name}"')[0].status == 412
    r, body = get("/words.txt")
    assert (r.headers["Content-Encoding"], r.headers["ETag"], body) == (None, f'"{tags[1]}"', second)
    assert get("/app.bin", Accept_Encoding="gzip, zstd")[0].headers["Content-Encoding"] is None  # random bytes


def what_is_encoded_takes_bounded_memory():
    """More than is cached, one after the other, and many at once that are not read: all are right."""
    top = f"{work}/texts"
    os.makedirs(top)
    words = [b"%x " % dice.getrandbits(32) for _ in range(5000)]
    contents = [b"".join(dice.choices(words, k=90000)) for _ in range(60)]
    for i, content in enumerate(contents):
        with open(f"{top}/{i}", "wb") as f:
            f.write(content)
    dxup("publish", store, "texts", top, "--quiet")
    stuck = []
    for i in range(40):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.settimeout(300)
        s.connect(("127.0.0.1", port))
        s.sendall(b"GET /texts/%d HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n" % i)
        stuck.append(s)
    for i, content in enumerate(contents):
        r, body = get(f"/texts/{i}", Accept_Encoding="gzip")
        assert (gzip.decompress(body) if r.headers["Content-Encoding"] else body) == content, i
    if os.path.exists(f"/proc/{server.pid}/status") and "asan" not in DXUP:
        peak = int(re.search(r"VmHWM:\s+(\d+)", open(f"/proc/{server.pid}/status").read()).group(1)) / 1024
        print(f"         {sum(map(len, contents)) / 1e6:.0f} MB of text, {peak:.0f} MiB at most")
        assert peak < 100, peak
    for i, s in enumerate(stuck): # answers in progress stay intact, whatever is evicted
        data = b""
        while part := s.recv(1 << 20):
            data += part
        head, body = data.split(b"\r\n\r\n", 1)
        assert (gzip.decompress(body) if b"Content-Encoding: gzip" in head else body) == contents[i], i
        s.close()


def damage_ends_an_answer_and_is_counted():
    """Of a file in a tree with a damaged chunk, no byte too many is sent; the connection ends before the announced length."""
    broken = f"{work}/broken"
    dxup("publish", broken, "site", f"{work}/site", "--quiet")
    log = os.path.join(broken, "objects")
    data = open(log, "rb").read()
    chunk = site["sub/large.bin"][500000:500040] # random bytes are stored as they are
    assert data.count(chunk) == 1
    with open(log, "r+b") as f:
        f.seek(data.index(chunk))
        f.write(b"x" * len(chunk))
    own = subprocess.Popen([DXUP, "serve", broken, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--status", "127.0.0.1:0", "--workers", "1", "--log", f"{work}/broken.log"],
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        text = b"".join(own.stdout.readline() for _ in range(3)).decode()
        to, status = (int(re.search(r":(\d+) for " + side, text).group(1)) for side in ("HTTP", "status"))
        got = raw(b"GET /site/sub/large.bin HTTP/1.1\r\nHost: a\r\n\r\n", to=to).split(b"\r\n\r\n", 1)[1]
        assert len(got) < 500000 and site["sub/large.bin"].startswith(got), len(got)
        assert get("/site/sub/large.bin", to=to, Range="bytes=-1000")[1] == site["sub/large.bin"][-1000:]
        assert json.loads(get("/status.json", to=status)[1])["damaged"] == 1
    finally:
        own.send_signal(signal.SIGTERM)
        assert own.wait(60) == 0
    lines = [json.loads(line) for line in open(f"{work}/broken.log")]
    assert [(e["request"], e["path"], e["status"], e["result"]) for e in lines] == [("GET", "/site/sub/large.bin", 200, "damaged"), ("GET", "/site/sub/large.bin", 206, "range")], lines
    assert lines[1]["sent"] == 1000 and lines[0]["sent"] < 500000 and lines[0]["name"] == "site"


def a_refused_pull_is_not_a_sent_one():
    """Of a tree whose directory is damaged, and of one with a damaged chunk, a part of which was sent."""
    for case in ("root", "chunk"):
        broken = f"{work}/broken-{case}"
        dxup("publish", broken, "site", f"{work}/site", "--quiet")
        log = os.path.join(broken, "objects")
        data = open(log, "rb").read()
        at = data.index(site["sub/large.bin"][500000:500040]) if case == "chunk" else max(data.rfind(b"index.html"), data.rfind(b"<p>site"))
        assert at > 0, case
        with open(log, "r+b") as f:
            f.seek(at)
            f.write(b"\xff" * 4)
        own = subprocess.Popen([DXUP, "serve", broken, "--listen", "127.0.0.1:0", "--status", "127.0.0.1:0", "--workers", "1"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            text = b"".join(own.stdout.readline() for _ in range(2)).decode()
            frames, status = (int(re.search(pattern, text).group(1)) for pattern in (r":(\d+) with", r":(\d+) for status"))
            done = subprocess.run([DXUP, "pull", f"127.0.0.1:{frames}", "site", f"{work}/broken-out-{case}", "--quiet"], stderr=subprocess.DEVNULL)
            assert done.returncode != 0
            for _ in range(600):
                said = json.loads(get("/status.json", to=status)[1])
                if said["connections"] == 0:
                    break
                time.sleep(0.05)
            assert (said["refused"], said["full"], said["damaged"], said["spared"]) == (1, 0, 0, 0), (case, said)
        finally:
            own.send_signal(signal.SIGTERM)
            assert own.wait(60) == 0


def the_log_of_hostile_requests():
    """Whatever a request contains, it makes exactly one line, and cannot forge another."""
    forged = b'{"time":"2026-01-01T00:00:00Z","request":"GET","path":"/forged"}'
    publish("cut", dice.randbytes(16000000))
    own = subprocess.Popen([DXUP, "serve", store, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--workers", "1", "--log", f"{work}/hostile.log"], stdout=subprocess.PIPE)
    asked = [b"GET /\n" + forged + b"\n HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /\r" + forged + b" HTTP/1.1\r\nHost: a\r\n\r\n", b"\0" + forged + b"\r\n\r\n", b"GET /\x1b[2J\"\\ HTTP/1.1\r\nHost: a\r\n\r\n",
             b"GET /\xe2\x80\xa8\xff HTTP/1.1\r\nHost: a\r\n\r\n", b'GET /"},{" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n', b"GET /" + b"y" * 8000 + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
             b"HEAD /app.bin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"x" * 9000]
    try:
        text = b"".join(own.stdout.readline() for _ in range(2)).decode()
        to = int(re.search(r":(\d+) for HTTP", text).group(1))
        for data in asked:
            assert raw(data, to=to, shut=True).startswith(b"HTTP/1.1 "), data[:40]
        s = socket.socket() # closes in the middle of an answer, which is larger than what the system's buffers hold
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect(("127.0.0.1", to))
        s.sendall(b"GET /cut HTTP/1.1\r\nHost: a\r\n\r\n")
        s.recv(1000)
        s.close()
        time.sleep(0.3)
    finally:
        own.send_signal(signal.SIGTERM)
        assert own.wait(60) == 0
    data = open(f"{work}/hostile.log", "rb").read()
    assert not re.search(rb"[\0-\x09\x0b-\x1f\x7f\xff]|\xe2\x80[\xa8\xa9]", data) and data.endswith(b"\n")
    lines = [json.loads(line) for line in data.splitlines()]
    assert len(lines) == len(asked) + 1 and not any(e.get("path") == "/forged" for e in lines), data
    assert all(e["result"] == "refused" and e["status"] >= 400 for e in lines[:7]) and (lines[7]["request"], lines[7]["sent"], lines[7]["status"]) == ("HEAD", 0, 200), lines
    assert lines[5]["path"] == '/"},{"' and lines[6]["path"] == "/" + "y" * 1022 and lines[9]["result"] == "cut" and lines[9]["sent"] > 0, lines


def who_stops_reading_a_tree_holds_nobody_up():
    """Sixty of one address request large files of a tree and read nothing: 48 are answered, the rest refused, others are served at
    once."""
    def ask(path):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.settimeout(300)
        s.connect(("127.0.0.1", port))
        s.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n")
        return s
    top = f"{work}/films"
    os.makedirs(top)
    with open(f"{top}/film", "wb") as f:
        f.write(dice.randbytes(12000000))
    dxup("publish", store, "films", top, "--quiet")
    for _ in range(2):
        clients = [ask(b"/films/film") for _ in range(60)]
        begun = [s.recv(12, socket.MSG_WAITALL) for s in clients]
        assert begun.count(b"HTTP/1.1 200") == 48 and begun.count(b"HTTP/1.1 503") == 12, begun
        assert get("/nothing/x")[0].status == 404
        for s in clients:
            s.close()
        deadline = time.time() + 20
        while get("/films/film", Range="bytes=0-0")[0].status != 206 and time.time() < deadline:
            time.sleep(0.05)
    assert get("/films/film", Range="bytes=11999990-")[0].status == 206


def pipelined_requests_are_answered_in_order():
    one = b"GET /index.html HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = raw(one * 300 + b"GET /app.bin HTTP/1.1\r\nHost: a\r\n\r\n" + b"GET /empty HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + one)
    assert answer.count(b"HTTP/1.1 200 OK") == 302 and answer.count(b"<p>page") == 300 and new in answer
    assert answer.endswith(b"Content-Length: 0\r\nConnection: close\r\n\r\n")


def long_answers_behind_the_end_of_the_requests():
    large = dice.randbytes(3000000)
    publish("large", large)
    asks = b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n"
    assert raw(asks * 3, shut=True).count(large) == 3
    s = socket.create_connection(("127.0.0.1", port), timeout=300)  # one that reads nothing for a while
    s.sendall(asks * 3 + asks[:-10])
    time.sleep(0.3)
    assert get("/index.html")[1] == b"<p>page"  # blocks nobody else
    s.sendall(asks[-10:])
    s.shutdown(socket.SHUT_WR)
    answer = b""
    while part := s.recv(65536):
        answer += part
    assert answer.count(large) == 4


def a_request_in_single_bytes():
    s = socket.create_connection(("127.0.0.1", port), timeout=300)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in b"GET /index.html HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n":
        s.sendall(bytes([byte]))
    answer = b""
    while part := s.recv(65536):
        answer += part
    assert answer.endswith(b"<p>page")


def forty_at_once_with_patches():
    results = []

    def one(k):
        r, body = get("/app.bin", **({"If_None_Match": f'"{old_tag}"', "A_IM": "dx-patch"} if k % 2 else {}))
        results.append(r.status == 226 if k % 2 else body == new)

    threads = [threading.Thread(target=one, args=(k,)) for k in range(40)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(results) == 40 and all(results)


def a_version_published_meanwhile_is_served():
    tag = publish("index.html", b"<p>newer")
    r, body = get("/")
    assert (r.headers["ETag"], body) == (f'"{tag}"', b"<p>newer")


def bursts_of_frames_are_answered_in_order():
    """Each exceeds the room for replies: received bytes wait, and must not move while more are awaited after them."""
    s = socket.create_connection(("127.0.0.1", frames_port), timeout=300)
    got, count = b"", 400
    for burst in range(20):
        s.sendall(b"".join(struct.pack("<BBHIB", 0x30, 4, k, 1, 0x63) for k in range(count)))
        for k in range(count):
            while len(got) < 8 or len(got) < 8 + struct.unpack("<I", got[4:8])[0]:
                part = s.recv(65536)
                assert part, f"closed after {k} answers of burst {burst}"
                got += part
            opcode, flags, sequence, size = struct.unpack("<BBHI", got[:8])
            assert (opcode, sequence, got[8:10]) == (0x32, k, b"\x94\x01"), (burst, k, got[:20])
            got = got[8 + size:]
    s.close()


class Frames:
    """One connection to the side that speaks docs/formats/hbtp.md."""

    def __init__(self):
        self.socket = socket.create_connection(("127.0.0.1", frames_port), timeout=300)
        self.file = self.socket.makefile("rb")

    def take(self):
        """(opcode, flags, sequence, payload), or None: the server has closed."""
        try:
            head = self.file.read(8)
            if len(head) < 8:
                return None
            opcode, flags, sequence, size = struct.unpack("<BBHI", head)
            payload = self.file.read(size)
        except ConnectionResetError:
            return None
        return (opcode, flags, sequence, payload) if len(payload) == size else None

    def answer(self, sequence):
        """The status of an error, or the bytes of a range; None: the server has closed."""
        frame = self.take()
        if frame is None:
            return None
        opcode, _, got, payload = frame
        assert got == sequence and opcode in (0x31, 0x32), frame
        if opcode == 0x32:
            return struct.unpack("<H", payload[:2])[0]
        parts, last, at = [], False, None
        while not last:
            frame = self.take()
            if frame is None:
                return None
            opcode, flags, _, payload = frame
            transfer, _, offset = struct.unpack("<IIQ", payload[:16])
            assert opcode == 0x51 and at in (None, offset), (opcode, at, offset)
            parts.append(payload[16:])
            at = offset + len(payload) - 16
            last = bool(flags & 8)
        return b"".join(parts)

    def close(self):
        self.file.close()
        self.socket.close()


def any_request_for_a_range():
    """Requests of every kind, many at once: each is answered with its bytes, or with the right error, and none of them harms the
    next. Damaged records may mean anything; bytes that are no frames may end the connection."""
    patch = get("/app.bin", If_None_Match=f'"{old_tag}"', A_IM="dx-patch")[1]
    wanted = {(new_tag, None): new, (old_tag, None): old, (new_tag, old_tag): patch}
    edges = [0, 1, 2, 1 << 20, (1 << 32) - 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]

    def request():
        """The record, and its expected result; None: anything."""
        target = dice.choice([new_tag, new_tag, old_tag, "0" * 64])
        have = dice.choice([None, None, old_tag, "f" * 64])
        name = dice.choice([b"app.bin"] * 20 + [b"nothing", b"", b"\xff", b"a\0b", b"x" * 300])
        content = wanted.get((target, have), new)
        offset = dice.choice([dice.randrange(len(content)), dice.choice(edges), len(content), len(content) - 1])
        size = dice.choice([dice.randrange(len(content)), dice.choice(edges) & 0xFFFFFFFF, max(len(content) - offset, 0) & 0xFFFFFFFF])
        if dice.random() < 0.5:
            offset = dice.randrange(len(content))
            size = dice.randrange(1, len(content) - offset + 1)
        flags = (4 if have else 0) | dice.choice([0, 0, 0, 8, 0x80000000])
        record = struct.pack("<QIII", offset, size, dice.getrandbits(32), flags) + bytes.fromhex(target) + bytes.fromhex(have or "0" * 64)
        record += struct.pack("<II", 96 if name else 0, len(name)) + bytes(4) + name
        if not name or len(name) > 127 or b"\xff" in name or b"\0" in name or not size:
            deserves = 400
        elif name != b"app.bin" or "0" * 64 == target or have == "f" * 64:
            deserves = 404
        elif target == old_tag and have:
            deserves = None # a patch from a version to itself
        else:
            deserves = content[offset:offset + size] if offset + size <= len(content) else 400
        how = dice.randrange(8)
        if how == 0:
            at = dice.randrange(len(record))
            return record[:at] + bytes([record[at] ^ 1 << dice.randrange(8)]) + record[at + 1:], None
        if how == 1:
            return record[:dice.randrange(len(record))], 400
        if how == 2:
            return dice.randbytes(dice.randrange(200)), None
        return record, deserves

    answered = 0
    for _ in range(FUZZ // 3):
        frames = Frames()
        sent = []
        data = b""
        for sequence in range(1, dice.randrange(2, 9)):
            record, deserves = request()
            sent.append((sequence, record, deserves))
            data += struct.pack("<BBHI", 0x30, 4, sequence, 1 + len(record)) + b"\2" + record
        if dice.random() < 0.1: # in the middle of it, bytes that are no frame
            data = data[:dice.randrange(len(data))] + dice.randbytes(40)
            sent = None
        frames.socket.sendall(data)
        if sent is None:
            frames.socket.shutdown(socket.SHUT_WR)
            while frames.take():
                pass
        for sequence, record, deserves in sent or []:
            got = frames.answer(sequence)
            assert got is not None and (deserves is None or got == deserves) and got not in (409, 500), (record, deserves, str(got)[:60])
            answered += isinstance(got, bytes)
        frames.close()
    assert answered > FUZZ // 10, answered
    assert get("/app.bin")[1] == new


def metrics():
    r, body = get("/metrics", to=status_port)
    assert r.status == 200 and r.headers["Content-Type"] == "text/plain; version=0.0.4", r.status
    lines = body.decode().splitlines()
    rows = [re.fullmatch(r'([a-z_]+(?:\{[a-z]+="[a-z0-9]+"\})?) (\d+)', line) for line in lines if not line.startswith("#")]
    assert all(rows) and len(rows) == sum(1 for line in lines if not line.startswith("#")), body
    kinds = dict(line.split()[2:4] for line in lines if line.startswith("# TYPE "))
    assert all(row.group(1).split("{")[0] in kinds for row in rows) and all(f"# HELP {kind} " in body.decode() for kind in kinds), kinds
    return {row.group(1): int(row.group(2)) for row in rows}


def status_counts_what_was_served():
    assert get("/healthz", to=status_port)[1] == b"ok\n" and get("/healthz", to=status_port)[0].status == 200
    before = metrics()
    for deadline in range(600): # those of the previous test have gone
        if before["dxup_connections"] == 0:
            break
        time.sleep(0.05)
        before = metrics()
    get("/app.bin")
    get("/app.bin", If_None_Match=f'"{new_tag}"')
    get("/nothing")
    dxup("pull", f"127.0.0.1:{frames_port}", "app.bin", f"{work}/status", "--quiet")
    dxup("pull", f"127.0.0.1:{frames_port}", "app.bin", f"{work}/status", "--quiet")
    refused = subprocess.run([DXUP, "pull", f"127.0.0.1:{frames_port}", "nothing", f"{work}/nothing"], stderr=subprocess.DEVNULL)
    assert refused.returncode == 2
    now = metrics()
    for deadline in range(600): # a connection is gone a moment after its client
        if now["dxup_connections"] == 0:
            break
        time.sleep(0.05)
        now = metrics()
    more = {name: now[name] - before[name] for name in now if now[name] != before[name]}
    sent, spared = more.pop("dxup_sent_bytes_total"), more.pop("dxup_spared_bytes_total")
    assert more == {'dxup_pulls_total{outcome="unchanged"}': 1, 'dxup_pulls_total{outcome="full"}': 1, "dxup_pulls_refused_total": 1,
                    'dxup_http_answers_total{status="2xx"}': 1, 'dxup_http_answers_total{status="3xx"}': 1, 'dxup_http_answers_total{status="4xx"}': 1,
                    "dxup_connections_total": 4}, more # a file's objects come on a connection of their own
    assert abs(sent - 2 * len(new)) < 1000 and abs(spared - 2 * len(new)) < 1000, (sent, spared, len(new)) # with the lists of objects
    r, body = get("/status.json", to=status_port)
    said = json.loads(body)
    assert said["sent"] == now["dxup_sent_bytes_total"] and said["names_left_out"] == 0, said
    assert (said["http_4xx"], said["http_5xx"]) == (now['dxup_http_answers_total{status="4xx"}'], now['dxup_http_answers_total{status="5xx"}']), said
    assert (said["damaged"], said["log_dropped"]) == (now["dxup_damaged_total"], now["dxup_log_dropped_total"]) == (0, 0), said
    assert [(n["name"], n["version"], n["size"]) for n in said["names"] if n["name"] == "app.bin"] == [("app.bin", 2, len(new))], said
    assert get("/", to=status_port)[1].startswith(b"<!doctype html>") and get("/", method="HEAD", to=status_port)[1] == b""
    assert get("/app.bin", to=status_port)[0].status == 404 and get("/metrics")[0].status == 404


class Dribblers:
    """Connections that send the beginning of a request, and reconnect when they are closed."""

    def __init__(self, to, count, addresses, begun):
        self.to, self.count, self.addresses, self.begun = to, count, addresses, begun
        self.held, self.closed, self.sent = set(), 0, 0
        self.selector, self.stop = selectors.DefaultSelector(), threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def connect(self, i):
        s = socket.socket()
        s.setblocking(False)
        s.bind((self.addresses[i % len(self.addresses)], 0))
        s.connect_ex(("127.0.0.1", self.to))
        self.held.add(s)
        self.selector.register(s, selectors.EVENT_READ | selectors.EVENT_WRITE, i)

    def run(self):
        for i in range(self.count):
            self.connect(i)
        while not self.stop.is_set():
            for key, events in self.selector.select(0.1):
                s = key.fileobj
                try:
                    if events & selectors.EVENT_READ and not s.recv(1000):
                        raise ConnectionResetError
                    if events & selectors.EVENT_WRITE:
                        s.send(self.begun)
                        self.sent += 1
                        self.selector.modify(s, selectors.EVENT_READ, key.data)
                except BlockingIOError:
                    pass
                except OSError:
                    self.closed += 1
                    self.selector.unregister(s)
                    self.held.remove(s)
                    s.close()
                    if not self.stop.is_set():
                        self.connect(key.data)

    def end(self):
        self.stop.set()
        self.thread.join()
        for s in self.held:
            s.close()


def dribblers_keep_nobody_out():
    """10,000 connections with half a request each, from one address and from many, with and without a whole one before: every
    pull, and every GET, succeeds at the first try, from the same addresses."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    many = int(os.environ.get("DX_DRIBBLERS", "10000"))
    if limits[1] != resource.RLIM_INFINITY and limits[1] < many + 500:
        many = limits[1] - 500
    resource.setrlimit(resource.RLIMIT_NOFILE, (many + 500, limits[1]))
    half = struct.pack("<BBHI", 0x30, 4, 1, 4000) + b"\2half"
    record = struct.pack("<QIII", 0, 1, 9, 0) + bytes.fromhex(new_tag) + bytes(32) + struct.pack("<II", 96, 7) + bytes(4) + b"app.bin"
    whole = struct.pack("<BBHI", 0x30, 4, 1, 1 + len(record)) + b"\2" + record
    head = b"GET /app.bin HTTP/1.1\r\nHost: "
    own = subprocess.Popen([DXUP, "serve", store, "--listen", "0.0.0.0:0", "--http", "0.0.0.0:0", "--workers", "1"], stdout=subprocess.PIPE)
    frames = int(re.search(r":(\d+) with", own.stdout.readline().decode()).group(1))
    web = int(re.search(r":(\d+) for HTTP", own.stdout.readline().decode()).group(1))
    one, forty = ["127.0.0.1"], [f"127.0.0.{i}" for i in range(1, 41)]
    cases = (("half frames of one", frames, one, half, 512), ("half frames of forty", frames, forty, half, 4096),
             ("half behind whole frames", frames, forty, whole + half, 4096), ("half heads of one", web, one, head, 512),
             ("half heads of forty", web, forty, head, 1024), ("half behind whole heads", web, forty, b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" + head, 1024))
    if os.environ.get("DX_TIER") == "native":
        cases = (cases[0], cases[3]) # the others, and 10,000 of each, if the program has sanitizers
        many = min(many, 3000)
    try:
        for name, to, addresses, begun, slots in cases:
            crowd = Dribblers(to, many, addresses, begun)
            try:
                deadline = time.time() + 180
                while (crowd.sent < many or crowd.closed < many - slots) and time.time() < deadline:
                    time.sleep(0.05)
                assert crowd.sent >= many and crowd.closed >= many - slots, (name, crowd.sent, crowd.closed)
                slowest = 0
                for k in range(5):
                    since = time.time()
                    if to == web:
                        r, body = get("/app.bin", to=web)
                        assert (r.status, body) == (200, new), (name, k, r.status)
                    else:
                        done = subprocess.run([DXUP, "pull", f"127.0.0.1:{to}", "app.bin", f"{work}/dribbled-{crowd.closed}-{k}", "--quiet"],
                                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=100)
                        assert done.returncode == 0, (name, k, done.stdout)
                    slowest = max(slowest, time.time() - since)
            finally:
                crowd.end()
            print(f"         {name}: {crowd.closed} of {many} dribblers gave way, slowest {slowest:.2f} s")
            assert slowest < 60, (name, slowest) # a pull that is kept out gives up after 60 s
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        own.send_signal(signal.SIGTERM)
        assert own.wait(60) == 0


def one_address_leaves_contents_to_the_others():
    """250 connections of one address request much and read little: it gets 48 of the 192 contents, another is served at once."""
    def ask():
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.bind(("127.0.0.2", 0))
        s.settimeout(300)
        s.connect(("127.0.0.1", port))
        s.sendall(b"GET /much HTTP/1.1\r\nHost: a\r\n\r\n")
        return s
    if not sys.platform.startswith("linux"):
        print("         skip: there may be no 127.0.0.2")
        return
    publish("much", dice.randbytes(12000000))
    get("/app.bin")
    time.sleep(0.5) # for that connection to be closed
    open_before = len(os.listdir(f"/proc/{server.pid}/fd"))
    for _ in range(2): # closed connections release their resources
        clients = [ask() for _ in range(250)]
        begun = [s.recv(12, socket.MSG_WAITALL) for s in clients]
        assert get("/app.bin")[1] == new
        for s in clients:
            s.close()
        assert begun.count(b"HTTP/1.1 200") == 48 and begun.count(b"HTTP/1.1 503") == 202, begun
        deadline = time.time() + 20
        while len(os.listdir(f"/proc/{server.pid}/fd")) > open_before and time.time() < deadline:
            time.sleep(0.05)


def memory_of_a_flood_is_bounded_and_given_back():
    """1,000 connections of ten addresses request much and read nothing, three times over; each holds little, and nothing of it
    remains."""
    if not os.path.exists(f"/proc/{server.pid}/status"):
        raise AssertionError("no /proc")
    if "asan" in DXUP:
        print("         skip: the sanitizer's memory would be measured")
        return
    def resident():
        return int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{server.pid}/status").read()).group(1)) / 1024
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, limits[1]), limits[1]))
    publish("flood", dice.randbytes(3000000))
    before = top = resident()
    for _ in range(3):
        clients = [socket.create_connection(("127.0.0.1", port), 300, (f"127.0.0.{2 + i % 10}", 0)) for i in range(1000)]
        for s in clients:
            s.setblocking(False)
            try:
                s.send(b"GET /flood HTTP/1.1\r\nHost: a\r\n\r\n" * 20)
            except OSError:
                pass
        time.sleep(0.5)
        top = max(top, resident())
        for s in clients:
            s.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    deadline = time.time() + 20
    while resident() > before + 8 and time.time() < deadline:
        time.sleep(0.1)
    print(f"         {before:.1f} MiB before, {top:.1f} during, {resident():.1f} after")
    assert top < before + 72 and resident() <= before + 8, (before, top, resident())
    assert get("/app.bin")[1] == new


def status_counts_what_a_directory_spares():
    """An update of a directory transfers the objects that changed; the rest of its size is spared."""
    tree, dest = f"{work}/tree", f"{work}/tree-out"
    os.makedirs(tree)
    for i in range(40):
        with open(f"{tree}/f{i}", "wb") as f:
            f.write(dice.randbytes(20000))
    dxup("publish", store, "tree", tree, "--quiet")
    sent = []
    for round in range(3): # all of it, one changed file, nothing
        if round == 1:
            with open(f"{tree}/f7", "ab") as f:
                f.write(b"more")
            dxup("publish", store, "tree", tree, "--quiet")
        before = metrics()
        dxup("pull", f"127.0.0.1:{frames_port}", "tree", dest, "--quiet")
        now = metrics()
        for deadline in range(600):
            if now["dxup_connections"] == 0:
                break
            time.sleep(0.05)
            now = metrics()
        sent.append(now["dxup_sent_bytes_total"] - before["dxup_sent_bytes_total"])
        spared = now["dxup_spared_bytes_total"] - before["dxup_spared_bytes_total"]
        size = next(n["size"] for n in json.loads(get("/status.json", to=status_port)[1])["names"] if n["name"] == "tree")
        assert size >= 40 * 20000 and spared == max(size - sent[-1], 0), (round, size, sent, spared)
    assert sent[0] > 700000 and sent[1] < 60000 and sent[2] == 0, sent


def any_bytes_at_all():
    parts = [b"GET ", b"HEAD ", b"/", b"/app.bin", b" HTTP/1.1\r\nHost: a\r\n", b"\r\n", b"If-None-Match: ", b'"' + old_tag.encode() + b'"', b"A-IM: dx-patch\r\n", b"If-Match: ", b"If-Modified-Since: ", b"If-Unmodified-Since: ", b"Sun, 06 Nov 1994 08:49:37 GMT", b"Accept-Encoding: gzip;a=\"", b"%", b"%4", b":",
             b"\0", b"\xff" * 20, b"Connection: close\r\n", b"Host: a\r\n", b"," * 50, b"\n"]
    for _ in range(FUZZ):
        data = b"".join(dice.choice(parts) for _ in range(dice.randrange(1, 14)))
        if dice.random() < 0.3:
            data = dice.randbytes(dice.randrange(1, 300))
        answer = raw(data, shut=True, to=dice.choice((port, port, status_port)))
        assert not answer or re.match(rb"HTTP/1\.1 (200|226|302|304|400|404|405|412|413|431|501|505) ", answer), (data, answer[:60])
    assert get("/app.bin")[1] == new


def ended_in_the_middle_of_an_answer():
    """Answers in progress are completed, idle connections delay nothing, and new ones are refused."""
    big = dice.randbytes(30000000)
    publish("big", big)
    idle = socket.create_connection(("127.0.0.1", port), timeout=300)
    idle.sendall(b"GET /empty HTTP/1.1\r\nHost: a\r\n\r\n")
    assert idle.recv(65536).endswith(b"Content-Length: 0\r\n\r\n")
    slow = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    slow.request("GET", "/big")
    r = slow.getresponse()
    body = r.read(1000)
    server.send_signal(signal.SIGTERM)
    assert idle.recv(1) == b""
    deadline = time.time() + 60
    while time.time() < deadline:
        try:
            raw(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", shut=True)
        except ConnectionRefusedError:
            break
    else:
        assert False, "connected, after it was ended"
    assert server.poll() is None
    body += r.read()
    slow.close()
    assert body == big and server.wait(300) == 0


for test in [f for name, f in list(globals().items()) if callable(f) and getattr(f, "__module__", "") == "__main__"
             and os.environ.get("DX_TEST", "") in name
             and name not in ("make_site", "make_many", "dxup", "publish", "get", "raw", "attempt", "metrics", "processor_ns", "times_of", "date", "versions_of", "Frames", "Dribblers", "ended_in_the_middle_of_an_answer")]:
    attempt(test)
attempt(ended_in_the_middle_of_an_answer) # the last: it ends the server
if server.poll() is None:
    server.kill()
shutil.rmtree(work)
print(f"dxup_http: {passed} passed, {failed} failed, 0 skipped")
sys.exit(failed != 0)
