"""Losses of power, with the library preload_power.

    shadow = power.Shadow(live)      # live: the directory a program works in
    environment = shadow.environment()
    ... the program runs with preload_power and is killed ...
    shadow.lose()                    # live has only what was synced
    shadow.lose(random.Random(7))    # and some of what was not

Whoever works in the directory runs with the library, all the time, or what he
syncs is not durable.
"""
import os
import shutil

SECTOR = 512
BLOCK = 64 * 1024
# Of a write that was not synced, and of a name: how likely it is there.
KEPT = (0.0, 0.1, 0.5, 0.9, 1.0)


class Shadow:
    def __init__(self, live):
        self.live = os.path.realpath(live)
        self.path = self.live + ".shadow"
        self.adopt()

    def environment(self):
        return {"POWER_LIVE": self.live, "POWER_SHADOW": self.path}

    def adopt(self):
        """What is in the live directory now is durable."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.makedirs(os.path.join(self.path, "inodes"))
        for folder, _, names in os.walk(self.live):
            tree = self._tree(folder)
            os.makedirs(tree, exist_ok=True)
            for name in names:
                live = os.path.join(folder, name)
                inode = self._inode(os.stat(live).st_ino)
                shutil.copyfile(live, inode)
                os.link(inode, os.path.join(tree, name))

    def lose(self, random=None):
        """The power went: the live directory is what could be found then.
        random: with a part of what was not synced, in sectors of 512 bytes,
        chosen by it; without: with nothing of that."""
        after = self.live + ".after"
        shutil.rmtree(after, ignore_errors=True)
        self._rebuild(self.live, after, self._durable_numbers(), random)
        shutil.rmtree(self.live)
        os.rename(after, self.live)
        self.adopt()

    def _tree(self, folder):
        below = os.path.relpath(folder, self.live)
        return os.path.normpath(os.path.join(self.path, "tree", below))

    def _inode(self, number):
        return os.path.join(self.path, "inodes", str(number))

    def _durable_numbers(self):
        """Of each inode in the shadow: the number of the live file."""
        folder = os.path.join(self.path, "inodes")
        return {os.stat(os.path.join(folder, name)).st_ino: int(name)
                for name in os.listdir(folder) if name.isdigit()}

    def _rebuild(self, folder, after, numbers, random):
        """One directory and what is below it."""
        os.makedirs(after, mode=0o700)
        tree = self._tree(folder)
        durable = set(os.listdir(tree)) if os.path.isdir(tree) else set()
        live = set(os.listdir(folder)) if os.path.isdir(folder) else set()
        kept = random.choice(KEPT) if random else 0.0
        for name in sorted(durable | live):
            paths = (os.path.join(folder, name), os.path.join(tree, name),
                     os.path.join(after, name))
            # A change of the name, made, removed or another file's.
            changed = random is not None and random.random() < kept
            if os.path.isdir(paths[0]) or os.path.isdir(paths[1]):
                if name in durable or changed:
                    self._rebuild(paths[0], paths[2], numbers, random)
            else:
                self._rebuild_file(paths, changed, numbers, random)

    def _rebuild_file(self, paths, changed, numbers, random):
        live, durable, after = paths
        number = os.stat(live).st_ino if os.path.exists(live) else None
        if os.path.exists(durable):
            known = numbers.get(os.stat(durable).st_ino)
            if known == number and number is not None:
                self._write(after, durable, live, random)
                return
            if not changed:
                self._write(after, durable, None, None)
                return
        elif not changed:
            return
        if number is not None:
            self._write(after, self._inode(number), live, random)

    @staticmethod
    def _write(after, durable, live, random):
        """The durable bytes with some of the live ones."""
        mode = 0o600
        if os.path.exists(durable):
            shutil.copyfile(durable, after)
        else:
            open(after, "wb").close()
        if live is not None:
            mode = os.stat(live).st_mode & 0o777
            if random is not None:
                mix(after, live, random)
        os.chmod(after, mode)


def mix(after, live, random):
    """Puts some of the sectors of live that are others into after."""
    kept = random.choice(KEPT)
    with open(after, "r+b") as old, open(live, "rb") as new:
        old_size = os.fstat(old.fileno()).st_size
        new_size = os.fstat(new.fileno()).st_size
        if random.random() < kept:
            old_size = new_size
            old.truncate(new_size)
        at = 0
        while True:
            fresh = new.read(BLOCK)
            if not fresh:
                break
            old.seek(at)
            was = old.read(BLOCK)
            if was != fresh:
                mix_block(old, at, was, fresh, lambda: random.random() < kept)
            at += len(fresh)


def mix_block(old, at, was, fresh, is_kept):
    for start in range(0, len(fresh), SECTOR):
        sector = fresh[start:start + SECTOR]
        if was[start:start + SECTOR] != sector and is_kept():
            old.seek(at + start)
            old.write(sector)
