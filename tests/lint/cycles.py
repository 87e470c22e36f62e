#!/usr/bin/python3
"""No file includes itself by way of others."""

import shared


def find_cycle(graph, start, done):
    """A path of files from one back to itself, or None."""
    stack = [(start, iter(graph.get(start, ())))]
    path = [start]
    while stack:
        node, targets = stack[-1]
        target = next(targets, None)
        if target is None:
            done.add(node)
            stack.pop()
            path.pop()
        elif target in path:
            return path[path.index(target):] + [target]
        elif target not in done:
            stack.append((target, iter(graph.get(target, ()))))
            path.append(target)
    return None


def main():
    root = shared.arguments(__doc__).root
    files = shared.c_files(root)
    graph = {}
    for path in files:
        graph[path] = [name for _, is_ours, name
                       in shared.includes(shared.read(root, path)) if is_ours]
    problems = []
    done = set()
    for path in files:
        cycle = None if path in done else find_cycle(graph, path, done)
        if cycle is not None:
            problems.append("include cycle: " + " -> ".join(cycle))
            break
    shared.finish("cycles", problems, len(files))


main()
