"""Two guests with a wire between them, whose kernels have RDMA drivers: machines of QEMU's that see this machine's files as their own."""
import contextlib
import json
import os
import pathlib
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid

import kernel
import on

HERE = pathlib.Path(__file__).resolve().parent
ADDRESSES = ("10.77.16.1", "10.77.16.2")
BOOT_S = 300  # where others want the processors, too; alone it is a few seconds
# Software emulation is that much slower, and so are others' patience with it.
SLOWNESS = 8
SPARE = "spare"  # a device that a test may add
# What a kernel says when it is broken.
COMPLAINT = re.compile(r"BUG:|Oops|WARNING:|Kernel panic|general protection|Call Trace|refcount_t|KASAN|UBSAN|unregister_netdevice: waiting|"
                       r"blocked for more than|guest: cannot")


class Program(subprocess.Popen):
    """A program on a guest: signals go to it, not to the one here that shows what it says."""

    def __init__(self, command, **more):
        self.folder, self.number = command[2:4]
        self.job = uuid.uuid4().hex
        super().__init__([*command[:4], "--job", self.job, *command[4:]], **more)

    def send_signal(self, how):
        if self.poll() is not None:
            return
        heard = False
        with contextlib.suppress(OSError), on.Guest(self.folder, self.number).call(job=self.job, signal=int(how)) as call:
            call.settimeout(10)
            heard = any(on.answers(call))
        if not heard and how == signal.SIGKILL:  # what it would kill has gone, or stands still
            super().send_signal(how)


class Guest:
    """One of the two, to any process that knows their folder."""

    start = staticmethod(Program)
    interface = "wire"
    complaint = COMPLAINT

    def __init__(self, folder, number):
        self.folder, self.number = pathlib.Path(folder), number
        self.guest = on.Guest(folder, number)
        self.address = self.guest.description["address"]
        self.driver = self.guest.description["driver"]
        self.device = self.guest.description["device"]
        self.module = kernel.DRIVERS[self.driver][-1]
        self.read = 0  # of its log

    def command(self, *words):
        return [sys.executable, str(HERE / "on.py"), str(self.folder), str(self.number), "--", *map(str, words)]

    def run(self, *words):
        done = subprocess.run(self.command(*words), capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False)
        assert done.returncode == 0, f"host {self.number}: {' '.join(map(str, words))}: {done.stdout}{done.stderr}"
        return done.stdout

    @staticmethod
    def control_folder(directory):
        """Where sockets are, which only one kernel can have."""
        return f"/run/{directory.parent.name}"

    def end_all(self):
        with self.guest.call(end_all=True) as connection:
            assert list(on.answers(connection)), f"host {self.number} does not answer"

    # What may befall a host.

    def monitor(self, command):
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(self.folder / f"guest-{self.number}.monitor"))
            stream = caller.makefile("rw")
            for word in ("qmp_capabilities", command):
                stream.write(json.dumps({"execute": word}) + "\n")
                stream.flush()
                while not ("return" in (said := json.loads(stream.readline())) or "error" in said):
                    pass
                assert "return" in said, said

    def freeze(self):
        """Stands still, and says nothing to anybody, until `thaw`."""
        self.monitor("stop")

    def thaw(self):
        self.monitor("cont")

    def power_cycle(self):
        """Off without a word, and on again; returns when it is up."""
        boots = self.guest.boots()
        self.monitor("system_reset")
        await_boot(self.guest, boots)

    def remove_device(self):
        self.run("rdma", "link", "delete", self.device)

    def add_device(self):
        self.run("rdma", "link", "add", self.device, "type", self.driver, "netdev", self.interface)

    def add_spare_device(self):
        """Programs let go of a device that has been removed if there is another one (docs/providers.md)."""
        self.run("rdma", "link", "add", SPARE, "type", self.driver, "netdev", "lo")

    def replace_device(self):
        self.remove_device()
        self.add_device()

    def unload_driver(self):
        self.run("modprobe", "-r", self.module)

    def load_driver(self):
        self.run("modprobe", self.module)

    def restore(self):
        self.run("sh", "-c", f"""
            ip link set {self.interface} up
            tc qdisc delete dev {self.interface} root 2>/dev/null
            rdma link delete {SPARE} 2>/dev/null
            modprobe {self.module}
            rdma link show {self.device}/1 >/dev/null 2>&1 || rdma link add {self.device} type {self.driver} netdev {self.interface}
        """)
        if self.driver == "rxe":
            # Once this kernel's rxe has had to say anything while its interface was down, no program connects by it any more, rdma-core's
            # neither.
            self.replace_device()

    # What its kernel says.

    def log(self):
        return (self.folder / f"guest-{self.number}.log").read_text(errors="replace")

    def complaints(self):
        """Those that have come since the last time."""
        said = self.log()[self.read:]
        self.read += len(said)
        lines = said.splitlines()
        found = [index for index, line in enumerate(lines) if COMPLAINT.search(line)]
        return [f"the kernel of host {self.number}:\n" + "\n".join(lines[max(0, found[0] - 3):found[0] + 40])] if found else []

    def cores(self):
        return sorted((self.folder / "cores").glob(f"host-{self.number}.*"))

    def close(self):
        self.end_all()
        if complaints := self.complaints():
            raise AssertionError("\n".join(complaints))


def attach(folder):
    """The guests that another process has started, whatever a test before has done to them."""
    both = [Guest(folder, number) for number in range(2)]
    for guest in both:
        guest.complaints()  # of tests before
        guest.thaw()
    for guest in both:
        guest.end_all()
        guest.restore()
    return both


def await_boot(guest, before=0, is_alive=lambda: True):
    log = pathlib.Path(f"{guest.folder}/guest-{guest.number}.log")
    begin = time.monotonic()
    news = begin + 15
    while guest.boots() == before:
        said = log.read_text(errors="replace") if log.exists() else ""
        panic = said.find("Kernel panic")
        if panic >= 0 or not is_alive() or time.monotonic() > begin + BOOT_S:
            last = said[max(0, panic - 1000):panic + 200] if panic >= 0 else said[-1000:]
            raise kernel.CannotRun(f"guest {guest.number} did not come up (which may take {BOOT_S} s). The last it said:\n{last}")
        if time.monotonic() > news:
            news += 15
            kernel.progress(f"guest {guest.number} still boots; the last it said: {said.splitlines()[-1] if said else 'nothing'}")
        time.sleep(0.05)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Pair:
    """Both guests, from their boot to their end; a folder that they share with this machine describes them to others."""

    def __init__(self, made, driver, mtu=1500, processors=2):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sansock-guests-")).resolve()
        self.kernel = made
        self.driver = driver
        self.machines = []
        for folder in ("cores", "tmp"):
            (self.folder / folder).mkdir()
            (self.folder / folder).chmod(0o1777)
        self.folder.chmod(0o711)
        for number in range(2):
            description = {"address": ADDRESSES[number], "driver": driver, "device": f"{driver}0", "mtu": mtu, "port": free_port(),
                           "token": secrets.token_hex(16)}
            file = self.folder / f"guest-{number}.json"
            file.touch(0o600)
            file.write_text(json.dumps(description))
        try:
            self.machines = [self.boot(number, processors) for number in range(2)]
            for number, machine in enumerate(self.machines):
                await_boot(on.Guest(self.folder, number), is_alive=lambda machine=machine: machine.poll() is None)
        except BaseException:
            self.close()
            self.remove()
            raise
        self.guests = [Guest(self.folder, number) for number in range(2)]

    def boot(self, number, processors):
        place = f"{self.folder}/guest-{number}"
        port = json.loads(pathlib.Path(f"{place}.json").read_text())["port"]
        line = {"guest_number": number, "guest_driver": self.driver, "guest_shared": self.folder, "guest_agent": HERE / "agent.py",
                "guest_modules": self.kernel.modules}
        # From no_timer_check on: how fast these processors run is for the host to say, and they do not run all the time.
        words = ["console=ttyS0", "quiet", "loglevel=5", "panic=-1", "mitigations=off", "nokaslr", "no_timer_check", "tsc=reliable",
                 "nowatchdog", "rcupdate.rcu_cpu_stall_suppress=1", *(f"{name}={value}" for name, value in line.items())]
        command = ["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", "-M", "q35", "-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max",
                   "-smp", str(processors), "-m", "2G", "-nodefaults", "-no-user-config", "-display", "none",
                   "-kernel", self.kernel.image, "-initrd", self.kernel.initramfs, "-append", " ".join(words),
                   "-serial", f"file:{place}.log", "-qmp", f"unix:{place}.monitor,server=on,wait=off",
                   "-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap",
                   "-device", "virtio-9p-pci,fsdev=root,mount_tag=root",
                   "-fsdev", f"local,id=shared,path={self.folder},security_model=none,multidevs=remap",
                   "-device", "virtio-9p-pci,fsdev=shared,mount_tag=shared",
                   "-netdev", f"dgram,id=wire,local.type=unix,local.path={self.folder}/wire-{number},"
                              f"remote.type=unix,remote.path={self.folder}/wire-{1 - number}",
                   "-device", f"virtio-net-pci,netdev=wire,romfile=,mac=52:54:00:77:16:0{number + 1}",
                   "-netdev", f"user,id=agent,restrict=on,hostfwd=tcp:127.0.0.1:{port}-10.0.2.15:7000",
                   "-device", f"virtio-net-pci,netdev=agent,romfile=,mac=52:54:00:77:17:0{number + 1}"]
        with open(f"{place}.qemu", "wb") as said:
            return subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=said, stderr=said)

    def faults(self):
        """What no test may leave behind."""
        cores = [f"host {guest.number} has a core file: {core.name}" for guest in self.guests for core in guest.cores()]
        return [complaint for guest in self.guests for complaint in guest.complaints()] + cores

    def close(self):
        for machine in self.machines:
            machine.kill()
            machine.wait()

    def keep(self, where):
        """What tells of the run."""
        shutil.rmtree(where, ignore_errors=True)
        where.mkdir(parents=True)
        for file in [*self.folder.glob("guest-*.log"), *self.folder.glob("guest-*.qemu"), *(self.folder / "cores").iterdir()]:
            shutil.copy(file, where)

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)
