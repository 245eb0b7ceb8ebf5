"""The kernel of the guests: Debian's, unpacked and not installed, with its RDMA drivers. Debian builds no siw, so that is built here."""
import hashlib
import json
import lzma
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
# Everything that a guest needs before and after it has a root; what these depend on comes by itself.
# A device that is removed is taken from rdma_cm before ib_uverbs, which waits for programs, only if ib_uverbs was there first. Adapters'
# drivers need it, and where they are loaded before rdma_ucm it is.
BASE = ["virtio_pci", "virtio_net", "9pnet_virtio", "9p", "overlay", "ib_uverbs", "rdma_ucm", "sch_netem"]
# rxe asks for crc32 by name, which no dependency shows.
DRIVERS = {"siw": ["libcrc32c", "crc32c_generic", "siw"], "rxe": ["crc32_generic", "rdma_rxe"]}
TOOLS = {"qemu-system-x86_64": "qemu-system-x86", "busybox": "busybox-static", "cpio": "cpio", "depmod": "kmod", "make": "build-essential",
         "gcc": "build-essential", "xz": "xz-utils", "rdma": "iproute2", "setpriv": "util-linux"}


class CannotRun(Exception):
    """What is missing, and how to come by it."""


def progress(what):
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


def run(*words, **more):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, **more)
    if done.returncode != 0:
        raise CannotRun(f"this failed: {' '.join(map(str, words))}\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


def check_tools():
    if os.geteuid() != 0:
        raise CannotRun("guests read this machine's files as root does: run this as root")
    missing = sorted({package for tool, package in TOOLS.items() if shutil.which(tool) is None})
    if missing:
        raise CannotRun(f"not installed: {', '.join(missing)}. As root, run:\n  apt-get install --no-install-recommends {' '.join(missing)}")


def known_files():
    """What every guest reads before its agent answers. Over the wall between guest and host each file takes milliseconds, so they have these."""
    modules = re.findall(r"^import (\w+)$", (HERE / "agent.py").read_text(), re.M)
    shown = run("/usr/bin/python3", "-I", "-S", "-c", f"""
import sys, {", ".join(modules)}
for module in list(sys.modules.values()):
    for file in (getattr(module, '__file__', None), getattr(module, '__cached__', None)):
        print(file or '')
print(open('/proc/self/maps').read())
""")
    shown += "".join(run("ldd", shutil.which(program)) + shutil.which(program) + " " for program in ("ip", "rdma"))
    return sorted({pathlib.Path(name).resolve() for name in re.findall(r"/\S+", shown) if pathlib.Path(name).is_file()})


class Kernel:
    """Made once in a folder, and found there the next time; to have a newer one, remove the folder."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder).resolve()
        self.root = self.folder / "root"
        self.stamp = self.folder / "kernel.json"
        self.image = self.folder / "vmlinux"
        check_tools()
        if not self.stamp.exists():
            self.make()
        self.release = json.loads(self.stamp.read_text())["release"]
        self.modules = self.root / "lib/modules"
        self.known = known_files()
        self.initramfs = self.pack_initramfs()

    def make(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        version, release = self.choose()
        common = re.sub("-amd64$", "-common", release)
        series = ".".join(version.split(".")[:2])
        progress(f"downloading Debian's kernel {release} ({version}), its headers and its source: about 230 MB, once")
        image, *build = self.download(version, f"linux-image-{release}", f"linux-headers-{release}", f"linux-headers-{common}",
                                      f"linux-kbuild-{series}", f"linux-source-{series}")
        progress("unpacking them")
        run("dpkg-deb", "-x", image, self.root)
        self.unpack_image(self.root / f"boot/vmlinuz-{release}")
        scratch = self.folder / "scratch"
        for package in build:
            run("dpkg-deb", "-x", package, scratch)
        source = f"linux-source-{series}/drivers/infiniband/sw/siw"
        run("tar", "-C", self.folder, "-xf", scratch / f"usr/src/linux-source-{series}.tar.xz", source)
        progress("building siw")
        headers = scratch / f"usr/src/linux-headers-{release}"
        # It says where its other half would be, had it been installed.
        for file in [headers / "Makefile", headers / ".kernelvariables"]:
            if file.exists():
                file.write_text(file.read_text().replace("/usr/src/", f"{scratch}/usr/src/"))
        run("make", "-C", headers, f"M={self.folder / source}", "CONFIG_RDMA_SIW=m", "modules")
        module = self.folder / source / "siw.ko"
        magic = re.search(rb"vermagic=(\S+)", module.read_bytes())[1].decode()
        if magic != release:
            raise CannotRun(f"siw was built for the kernel {magic}, not for {release}: remove {self.folder} and try again")
        extra = self.root / f"lib/modules/{release}/extra"
        extra.mkdir()
        run("strip", "-g", "-o", extra / "siw.ko", module)
        run("depmod", "-b", self.root, release)
        for package in [image, *build]:
            package.unlink()
        shutil.rmtree(scratch)
        shutil.rmtree(self.folder / f"linux-source-{series}")
        self.stamp.write_text(json.dumps({"release": release, "version": version}))

    def unpack_image(self, packed):
        """As QEMU can start it at once: to unpack itself takes the kernel as long as all the rest of its start."""
        image = packed.read_bytes()
        # Documentation/x86/boot.rst: setup_sects, payload_offset, payload_length.
        begin = (image[0x1F1] + 1) * 512 + struct.unpack_from("<I", image, 0x248)[0]
        payload = image[begin:begin + struct.unpack_from("<I", image, 0x24C)[0]]
        self.image.write_bytes(lzma.LZMADecompressor().decompress(payload))

    @staticmethod
    def choose():
        """The version that is current, and the release that it calls itself."""
        for attempt in range(2):
            shown = subprocess.run(["apt-cache", "show", "--no-all-versions", "linux-image-amd64"], capture_output=True, text=True,
                                   check=False).stdout
            if found := re.search(r"^Depends:.*\blinux-image-(\S+-amd64) \(= (\S+)\)", shown, re.M):
                return found[2], found[1]
            if attempt == 0:
                progress("asking apt what kernel there is")
                run("apt-get", "-q", "update")
        raise CannotRun("apt knows no package linux-image-amd64: the guests run Debian's kernel, and /etc/apt/sources.list names no archive of Debian's")

    def download(self, version, *packages):
        words = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", *(f"{package}={version}" for package in packages)]
        try:
            run(*words, cwd=self.folder)
        except CannotRun:  # it may know of packages that have been replaced since
            run("apt-get", "-q", "update")
            version, _ = self.choose()
            run(*words[:5], *(f"{package}={version}" for package in packages), cwd=self.folder)
        return [next(self.folder.glob(f"{package}_*.deb")) for package in packages]

    def pack_initramfs(self):
        """The drivers and a shell. Its name says from what it was made."""
        made_of = hashlib.sha256(self.release.encode() + (HERE / "init").read_bytes() + (HERE / "kernel.py").read_bytes() +
                                 repr([(file, file.stat().st_mtime) for file in self.known]).encode()).hexdigest()[:16]
        packed = self.folder / f"initramfs-{made_of}"
        if packed.exists():
            return packed
        progress("packing the initramfs")
        tree = self.folder / "initramfs.tree"
        shutil.rmtree(tree, ignore_errors=True)
        for folder in ("bin", "dev", "proc", "sys", "modules", "host", "own", "newroot"):
            (tree / folder).mkdir(parents=True)
        shutil.copy(shutil.which("busybox"), tree / "bin/busybox")
        for applet in ("sh", "mount", "mkdir", "insmod", "cat", "mv", "switch_root", "poweroff", "sleep"):
            (tree / "bin" / applet).symlink_to("busybox")
        shutil.copy(HERE / "init", tree / "init")
        (tree / "init").chmod(0o755)
        loaded = []
        for name, wanted in {"base": BASE, **DRIVERS}.items():
            files = [file for module in wanted for file in self.with_dependencies(module)]
            files = [file for file in dict.fromkeys(files) if name != "base" and file not in loaded or name == "base"]
            loaded += files if name == "base" else []
            (tree / f"{name}.modules").write_text("".join(f"/modules/{file.name}\n" for file in files))
            for file in files:
                shutil.copy(file, tree / "modules" / file.name)
        for file in self.known:
            inside = tree / "known" / file.relative_to("/")
            inside.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, inside)
        # Complete or not there.
        unfinished = self.folder / "initramfs.new"
        run("sh", "-c", f"find . | cpio --quiet -o -H newc >'{unfinished}'", cwd=tree)
        unfinished.rename(packed)
        shutil.rmtree(tree)
        return packed

    def with_dependencies(self, module):
        shown = run("modprobe", "-d", self.root, "-S", self.release, "--show-depends", module)
        return [pathlib.Path(line.split()[1]) for line in shown.splitlines() if line.startswith("insmod ")]
