"""Raw PyTorch DistributedDataParallel on gloo: the same network, channels first."""

from __future__ import annotations

import os
import sys

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from workload import BATCH, images_and_labels, shuffled, take_turns


def network() -> nn.Module:
    """The RPV network: conv 3x3 16-32-64 with max-pooling, dense 128, dropout 0.2."""
    layers: list[nn.Module] = []
    for inputs, outputs in ((1, 16), (16, 32), (32, 64)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding="same"), nn.ReLU(), nn.MaxPool2d(2)]
    head = [nn.Dropout(0.2), nn.Flatten(), nn.Linear(4096, 128), nn.ReLU(), nn.Dropout(0.2)]
    return nn.Sequential(*layers, *head, nn.Linear(128, 1), nn.Sigmoid())


def main() -> None:
    rank = int(os.environ["OMPI_COMM_WORLD_RANK"])
    size = int(os.environ["OMPI_COMM_WORLD_SIZE"])
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    dist.init_process_group("gloo", rank=rank, world_size=size)
    model = DistributedDataParallel(network())
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3 * size)
    loss = nn.BCELoss()
    images, labels = images_and_labels(rank)
    channels_first = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
    targets = torch.from_numpy(labels[:, None])
    order = torch.from_numpy(shuffled(rank))

    def step(number: int) -> None:
        part = order[number * BATCH : (number + 1) * BATCH]
        optimizer.zero_grad()
        loss(model(channels_first[part]), targets[part]).backward()
        optimizer.step()

    def largest(value: float) -> float:
        agreed = torch.tensor(value)
        dist.all_reduce(agreed, op=dist.ReduceOp.MAX)
        return agreed.item()

    take_turns(step, ranks=size, speaks=rank == 0, agreed=largest)
    dist.barrier()
    sys.stdout.flush()
    os._exit(0)  # gloo's threads may abort a process that ends while its peer still uses them


if __name__ == "__main__":
    main()
