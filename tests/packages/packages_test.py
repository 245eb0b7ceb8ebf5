#!/usr/bin/env python3
"""The Debian packages: built, looked at by lintian, and installed, used, upgraded, removed and purged in a Debian root that has nothing else.

    packages_test.py --source DIRECTORY --work DIRECTORY [--mirror URL]

Needs root, debootstrap, lintian and a mirror. What it builds and downloads stays in --work for the next time.
"""
import argparse
import glob
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import unittest
import urllib.request
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "hosts"))
import hosts  # noqa: E402

SOURCE = WORK = None
MIRROR = None  # debootstrap's own choice
VERSION = re.search(r"project\(sansock VERSION (\S+)", (pathlib.Path(__file__).resolve().parents[2] / "CMakeLists.txt").read_text())[1]
LATER = "99.0.0"
# What the demonstration and the suites run, build against and look with.
OF_DEBIAN = ("bash-completion", "chromium", "cmake", "curl", "g++", "iproute2", "make", "man-db", "openssl", "prometheus", "python3",
             "python3-prometheus-client", "python3-pyte", "redis-server", "redis-tools")
SUITES = ("control/control_test.py", "control/observation_test.py", "control/rendezvous_test.py", "control/hostile_hosts_test.py",
          "control/pki_test.py", "hosts/hosts_test.py")
INSIDE = "SANSOCK_PACKAGES_TEST_INSIDE"
# What apt, dpkg, ldconfig and chromium keep for themselves, and what is no file of any package's.
OTHERS = re.compile(r"^/(proc|sys|dev|debs|tmp|root|usr/lib/chromium/extensions|"
                    r"var/(lib/(apt|dpkg|systemd/deb-systemd-helper-enabled)|cache|log|backups)|etc/(ld\.so\.cache|"
                    r"passwd-?|group-?|g?shadow-?|subuid-?|subgid-?|resolv\.conf|apt/apt\.conf\.d))(/|$)")


def progress(what):
    print(f"{time.strftime('%H:%M:%S')} {what}", flush=True)


def run(*command, **more):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, **more)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return done.stdout


def build():
    progress("building")
    folder = WORK / "build"
    run("cmake", "-S", SOURCE, "-B", folder, "--preset", "package")
    run("cmake", "--build", folder, "--target", "packaged")
    for old in folder.glob("*.deb"):
        old.unlink()
    run("cpack", "-G", "DEB", cwd=folder)
    return {name: next(folder.glob(f"{name}_{VERSION}_*.deb")) for name in ("sansock", "sansock-dev")}


def later_version_of(package):
    """The same files under a later number."""
    folder = WORK / "later" / package.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    run("dpkg-deb", "-R", package, folder)
    control = folder / "DEBIAN/control"
    control.write_text(control.read_text().replace(f"Version: {VERSION}", f"Version: {LATER}").replace(f"(= {VERSION})", f"(= {LATER})"))
    later = folder.parent / package.name.replace(VERSION, LATER)
    run("dpkg-deb", "-b", folder, later)
    return later


class Root:
    """A Debian root, with what of Debian is run here and nothing of ours."""

    def __init__(self):
        self.path = WORK / "root"
        base = WORK / f"root-{zlib.crc32(' '.join(OF_DEBIAN).encode()):08x}.tar"
        if not base.exists():
            progress("making a Debian root")
            shutil.rmtree(self.path, ignore_errors=True)
            run("debootstrap", "--variant=minbase", "bookworm", self.path, *([MIRROR] if MIRROR else []))
            # As this machine reaches its mirror.
            for file in glob.glob("/etc/apt/apt.conf.d/*"):
                if not re.search("docker|autoremove|01autoremove|20listchanges|70debconf", file):
                    shutil.copy(file, self.path / "etc/apt/apt.conf.d")
            shutil.copy("/etc/resolv.conf", self.path / "etc/resolv.conf")
            (self.path / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
            (self.path / "usr/sbin/policy-rc.d").chmod(0o755)
            self.mount()
            self.run("apt-get", "update")
            self.run("apt-get", "install", "-y", "--no-install-recommends", *OF_DEBIAN)
            self.run("apt-get", "clean")
            self.unmount()
            run("tar", "-C", self.path, "-cf", base, ".")
        else:
            progress("unpacking the Debian root")
            shutil.rmtree(self.path, ignore_errors=True)
            self.path.mkdir(parents=True)
            run("tar", "-C", self.path, "-xf", base)
        self.mount()

    def mount(self):
        run("mount", "-t", "proc", "proc", self.path / "proc")
        run("mount", "--rbind", "/dev", self.path / "dev")

    def unmount(self):
        run("umount", self.path / "proc")
        run("umount", "-R", self.path / "dev")

    def command(self, *command):
        return ["chroot", self.path, "env", "-i", "HOME=/root", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive",
                "LC_ALL=C.UTF-8", *command]

    def run(self, *command):
        return run(*self.command(*command))

    def alone(self, *command):
        """In a network of its own, which ends with it as its mounts do. `ip netns` takes a root that is a mount."""
        return ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-ec",
                'root=$1; shift; mount --rbind "$root" "$root"; mount -t sysfs sysfs "$root/sys"; mount -t tmpfs tmpfs "$root/run"; '
                'ip link set lo up; exec "$@"', "sh", self.path, *self.command(*command)]

    def start(self, *command, **more):
        return subprocess.Popen(self.command(*command), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)

    def files(self):
        found = set()
        for folder, folders, names in os.walk(self.path):
            inside = "/" + os.path.relpath(folder, self.path).removeprefix(".")
            folders[:] = [name for name in folders if not OTHERS.match(f"{inside}/{name}".replace("//", "/"))]
            found.update(f"{inside}/{name}".replace("//", "/") for name in [*names, *folders])
        return {name for name in found if not OTHERS.match(name)}

    def install(self, *packages):
        (self.path / "debs").mkdir(exist_ok=True)
        for package in packages:
            shutil.copy(package, self.path / "debs")
        return self.run("apt-get", "install", "-y", "--no-install-recommends", *(f"/debs/{package.name}" for package in packages))


class Installed:
    """What tests/hosts runs, in the Debian root."""

    def __init__(self, root):
        self.root = root

    @staticmethod
    def tool(name):
        return name

    def inside(self, path):
        return "/" + str(path.relative_to(self.root.path))

    def command(self, environment, *words):
        return self.root.command(*(f"{name}={value}" for name, value in environment.items()), *map(str, words))


def wait_for(what, condition, patience_s=30):
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(0.1)
    raise AssertionError(f"{what} did not come to be within {patience_s} s")


class Packages(unittest.TestCase):
    """In order: each test goes on where the one before it has ended."""

    @classmethod
    def setUpClass(cls):
        cls.debs = build()
        cls.root = Root()
        cls.before = cls.root.files()

    def status(self):
        return json.loads(self.root.run("sansock", "status", "--json"))

    def verbs(self):
        return re.findall(r"^  ([a-z-]+)  ", self.root.run("sansock", "--help").split("Subcommands:")[1], re.M)

    def manual(self, page):
        """As it is shown, without bold and underlined."""
        self.assertTrue(self.root.run("man", "--where", page).strip().endswith(".gz"))
        man = self.root.command("MANWIDTH=200", "man", "--warnings=w", "--pager=cat", page)
        shown = subprocess.run(man, capture_output=True, text=True, check=False)
        self.assertEqual((shown.returncode, shown.stderr), (0, ""))
        return shown.stdout

    def test_1_lintian_finds_no_errors(self):
        done = subprocess.run(["lintian", "--no-tag-display-limit", "--fail-on", "none", *self.debs.values()], capture_output=True, text=True,
                              check=False)
        print(done.stdout)
        # There is no address yet that the developers could be written to at.
        faults = [line for line in done.stdout.splitlines() if line.startswith("E:") and "bogus-mail-host" not in line]
        self.assertEqual(faults, [])

    def test_2_installs(self):
        progress("installing")
        self.root.install(self.debs["sansock"])
        self.assertEqual(self.root.run("sansock", "--version").strip(), f"sansock {VERSION}")
        self.assertIn("sansock:", self.root.run("getent", "passwd", "sansock"))
        self.assertEqual(self.root.run("sansock", "check", "/usr/share/sansock/sansock.yaml").split(":")[1].strip()[:4], "fine")
        self.assertIn("simulated", self.root.run("sansock", "providers"))
        pages = {page: self.manual(page) for page in ("sansock", "sansockd", "sansock.yaml")}
        for verb in self.verbs():
            self.assertRegex(pages["sansock"], rf"(?m)^ +sansock {verb}\b", "its synopsis")
            self.assertRegex(pages["sansock"], rf"(?m)^ {{7}}(\S+, )*{verb}(, \S+)*$", "what it does")
        unit = WORK / "sansockd.service"
        unit.write_text((self.root.path / "lib/systemd/system/sansockd.service").read_text().replace("ExecStart=/", f"ExecStart={self.root.path}/"))
        checked = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False)
        self.assertEqual((checked.returncode, checked.stderr), (0, ""))
        # Exposure of 2.0 of 10 at most.
        run("systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=20", unit)

    def test_3_completes_commands(self):
        complete = ("source /usr/share/bash-completion/bash_completion; source /usr/share/bash-completion/completions/sansock; COMP_WORDS=({words}); "
                    "COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _sansock; printf '%s\\n' \"${{COMPREPLY[@]}}\"")

        def offered(*words):
            return set(self.root.run("bash", "-c", complete.format(words=" ".join(f"'{word}'" for word in words))).split())

        verbs = set(self.verbs())
        self.assertEqual(offered("sansock", "") - {"--help", "--version"}, verbs)
        for verb in verbs:
            options = set(re.findall(r"(?<=[ ,])(--[a-z-]+)", self.root.run("sansock", verb, "--help").split("Options:")[1].split("\n\n")[0]))
            self.assertEqual(offered("sansock", verb, "-") - {"--"}, options, verb)
        self.assertEqual(offered("sansock", "con"), {"config"})
        self.assertEqual(offered("sansock", "config", "gen"), {"generate"})

    def test_4_carries_redis_through_an_upgrade(self):
        """The daemon and all files are replaced while clients talk: no request fails, and what runs is shown afterwards."""
        root, port = self.root, "17379"
        daemon = self.daemon()
        server = root.start("sansock", "run", "--", "redis-server", "--port", port, "--save", "", "--daemonize", "no")
        self.addCleanup(self.end, server)
        wait_for("redis", lambda: subprocess.run(root.command("redis-cli", "-p", port, "ping"), capture_output=True, check=False).returncode == 0)
        load = root.start("sansock", "run", "--", "redis-benchmark", "-p", port, "-n", "50000000", "-c", "10", "-d", "100", "-t", "set", "-q")
        self.addCleanup(self.end, load)
        wait_for("connections on a provider", lambda: sum(c["path"] == "simulated" for c in self.status()["connections"]) >= 20)
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/metrics", timeout=10) as answer:
            self.assertIn("sansock_sent_bytes_total", answer.read().decode())
        self.assertIn("sansock_sleep_seconds", root.run("curl", "-s", f"http://127.0.0.1:{self.http}/metrics"))
        progress("upgrading")
        root.install(later_version_of(self.debs["sansock"]))
        self.assertIn(LATER, root.run("dpkg-query", "-W", "-f", "${Version}", "sansock"))
        daemon.terminate()
        self.assertEqual(daemon.wait(10), 0)
        self.daemon()
        wait_for("both", lambda: sum(c["path"] == "simulated" for c in self.status()["connections"]) >= 20, 40)
        self.assertIsNone(load.poll(), "the clients talk all the while")
        again = root.start("sansock", "run", "--", "redis-benchmark", "-p", port, "-n", "100000", "-c", "10", "-t", "get", "-q")
        self.assertIn("requests per second", again.communicate(timeout=60)[0])
        self.assertEqual(again.returncode, 0)
        load.terminate()
        said = load.communicate(timeout=30)[0]
        self.assertNotIn("rror", said)
        server.terminate()
        self.assertEqual(server.wait(30), 0)

    def test_4_meets_another_host(self):
        """Two hosts, as network namespaces of this root: certificates, daemons and an unmodified redis from the packages alone."""
        progress("two hosts")
        folder = self.root.path / "srv/hosts"
        folder.mkdir()
        self.addCleanup(shutil.rmtree, folder)
        fleet = hosts.Fleet(folder, Installed(self.root))
        self.addCleanup(fleet.close)
        fleet.start_daemons()
        a, b = fleet.hosts
        a.start("redis-server", "--port", 7001, "--bind", a.address, "--save", "", "--protected-mode", "no", stdout=subprocess.DEVNULL)
        wait_for("redis", lambda: b.run("redis-cli", "-h", a.address, "-p", 7001, "ping").stdout == "PONG\n")
        done = b.run("redis-benchmark", "-h", a.address, "-p", 7001, "-n", 100000, "-c", 8, "-t", "set,get", "-q", sansock=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"GET: [\d.]+ requests per second")
        self.assertGreater(b.share_on_provider(), 0.99)

    def test_4_does_as_the_manual_says(self):
        """The examples of sansock(1), word by word, and those that take a registry key over from Windows and back."""
        root = self.root
        self.daemon()
        examples = re.findall(r"^ +(sansock .*)$", self.manual("sansock").split("\nEXAMPLES\n")[1].split("\nSEE ALSO\n")[0], re.M)
        server, benchmark, explain, *others = examples
        server = root.start(*server.split())
        self.addCleanup(self.end, server)
        ping = root.command("redis-cli", "-p", "7000", "ping")
        wait_for("redis", lambda: subprocess.run(ping, capture_output=True, check=False).returncode == 0)
        load = root.start(*benchmark.split())
        self.addCleanup(self.end, load)
        wait_for("an explanation", lambda: re.search("^  on       simulated ", subprocess.run(
            root.command(*explain.split()), capture_output=True, text=True, check=False).stdout, re.M), 120)
        folder = root.path / "tmp/manual"
        folder.mkdir()
        for example in others:
            root.run("sh", "-c", f"cd /tmp/manual && {example}")
        self.assertEqual({file.name for file in (folder / "web1").iterdir()}, {"ca.pem", "host.pem", "host.key"})
        key = "HKEY_LOCAL_MACHINE\\SYSTEM\\CurrentControlSet\\Services\\Winsock\\Parameters\\TCP on SAN"
        exported = f"""Windows Registry Editor Version 5.00

[{key}]

[{key}\\{{8A3D9D2C-6B1E-4F0A-9C77-0B1D5E2F4A60}}]
"SendBuffers"=dword:00000040
"Vendor"="Acme"
""".replace("\n", "\r\n").encode("utf-16")
        (folder / "san.reg").write_bytes(exported)
        said = (root.path / "usr/share/doc/sansock/docs/configuration.md").read_text()
        there, back = re.findall(r"^(sansock (?:import|export)-registry .*)$", said, re.M)
        root.run("sh", "-c", f"cd /tmp/manual && {there} && mv san.reg before.reg && {back}")
        self.assertEqual((folder / "san.reg").read_bytes(), exported)
        self.assertIn("    send_buffers: 64\n", (folder / "sansock.yaml").read_text())

    def test_4_passes_the_suites(self):
        """Against what the packages have installed; of the sources the suites alone are there."""
        tests = self.root.path / "srv/tests"
        self.addCleanup(shutil.rmtree, tests)
        for folder in ("control", "hosts"):
            shutil.copytree(SOURCE / "tests" / folder, tests / folder, ignore=shutil.ignore_patterns("__pycache__"))
        for suite in SUITES:
            begun = time.monotonic()
            done = subprocess.run(self.root.alone("python3", f"/srv/tests/{suite}", "--bin", "/usr/bin"), stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, check=False)
            count = re.search(r"^Ran (\d+) tests", done.stdout, re.M)
            skipped = re.findall(r"^(.*) \.\.\. skipped (.*)$", done.stdout, re.M)
            progress(f"{suite}: {count and count[1]} tests, {len(skipped)} of them skipped, {time.monotonic() - begun:.0f} s")
            for name, why in skipped:
                print(f"  skipped: {name}: {why}")
            with self.subTest(suite=suite):
                self.assertEqual(done.returncode, 0, done.stdout)
                self.assertGreater(int(count[1]), len(skipped))

    @staticmethod
    def end(process):
        process.kill()
        process.communicate()

    def daemon(self):
        self.http = 19470
        self.root.run("install", "-d", "-o", "sansock", "-g", "sansock", "/run/sansock")  # which systemd does, where it runs
        # As the unit starts it.
        unit = (self.root.path / "lib/systemd/system/sansockd.service").read_text()
        command = re.search("^ExecStart=(.*)$", unit, re.M)[1].replace("$SANSOCKD_OPTIONS", f"--http 127.0.0.1:{self.http}").split()
        self.assertIn("--http", command)
        daemon = self.root.start("setpriv", "--reuid=sansock", "--regid=sansock", "--clear-groups", *command)
        self.addCleanup(self.end, daemon)
        wait_for("the daemon", lambda: subprocess.run(self.root.command("sansock", "status"), capture_output=True, check=False).returncode == 0)
        return daemon

    def test_5_builds_a_plugin_and_a_program_against_what_is_installed(self):
        progress("building against the packages")
        self.root.install(later_version_of(self.debs["sansock-dev"]))
        self.root.run("cmake", "-S", "/usr/share/sansock/template", "-B", "/tmp/plugin")
        self.root.run("cmake", "--build", "/tmp/plugin")
        plugin = next((self.root.path / "tmp/plugin").glob("**/loopback.so"))
        self.assertIn("loopback", self.root.run("sansock-validate", "/" + str(plugin.relative_to(self.root.path))))

    def test_6_leaves_nothing_behind(self):
        progress("removing")
        ours = {line.split()[-1].removeprefix(".") for package in self.debs.values() for line in run("dpkg-deb", "-c", package).splitlines()
                if not line.startswith("d")}
        ours = {name.replace("/lib/systemd", "/usr/lib/systemd") if (self.root.path / "lib").is_symlink() else name for name in ours}
        self.assertGreater(len(ours & self.root.files()), 50)
        self.root.run("apt-get", "remove", "-y", "sansock", "sansock-dev")
        self.assertEqual(ours & self.root.files(), {"/etc/default/sansockd"})
        self.root.run("apt-get", "purge", "--autoremove", "-y", "sansock")
        self.maxDiff = 4000
        self.assertEqual(self.root.files() - self.before, set())
        self.assertEqual(self.before - self.root.files(), set())
        gone = subprocess.run(self.root.command("getent", "passwd", "sansock"), capture_output=True, check=False)
        self.assertNotEqual(gone.returncode, 0, "its user is gone")


def main():
    global SOURCE, WORK, MIRROR
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--mirror")
    options = parser.parse_args()
    missing = [name for name in ("debootstrap", "lintian", "systemd-analyze", "unshare") if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        sys.exit(f"cannot run here: {'needs root' if os.geteuid() != 0 else 'not installed: ' + ', '.join(missing)}")
    if INSIDE not in os.environ:  # mounts and processes of ours end with us
        os.environ[INSIDE] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--mount-proc", "--kill-child",
                              sys.executable, *sys.argv])
    SOURCE, WORK, MIRROR = options.source, options.work.resolve(), options.mirror
    WORK.mkdir(parents=True, exist_ok=True)
    unittest.main(argv=[sys.argv[0], "-v", "-f"])


if __name__ == "__main__":
    main()
