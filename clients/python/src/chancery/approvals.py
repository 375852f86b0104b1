"""Proposals: what the policy has put under approval is proposed by one, approved by others, and done once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Iterable, Iterator, Optional, Tuple, Union

from chancery import wire
from chancery._generated.chancery.v1 import approval_service_pb2 as pb
from chancery._generated.chancery.v1 import key_service_pb2
from chancery.algorithms import Algorithm, ContentEncryption, KeyPurpose, KeyType, to_wire
from chancery.names import resource_name
from chancery.results import Key


@dataclass(frozen=True)
class GivenApproval:
    """That somebody approved, and when."""

    approver: str
    approve_time: Optional[datetime]


@dataclass(frozen=True)
class Proposal:
    """What is proposed, and what became of it.

    `state` is PENDING, APPROVED, EXECUTING, SUCCEEDED, FAILED, WITHDRAWN or EXPIRED. `act` is the name of what is
    proposed, such as `destroy_key_version`, and `content` the message of the protocol that says it in full.
    """

    name: str
    act: str
    content: Any
    wrapped_key_sha256: str
    state: str
    author: str
    approval: str
    required_approvals: int
    given_approvals: Tuple[GivenApproval, ...]
    create_time: Optional[datetime]
    expire_time: Optional[datetime]
    outcome: str


class ApprovalCalls:
    """The calls of ApprovalService; `Client` has them."""

    approvals: Any

    def _call(self, method: Any, request: Any) -> Any:
        raise NotImplementedError

    def propose(self, act: pb.ProposedAct, *, request_id: str = "") -> Proposal:
        """Proposes any act, said in the protocol's words; the others propose one act each."""
        request = pb.CreateProposalRequest(act=act, request_id=request_id)
        return _proposal(self._call(self.approvals.CreateProposal, request).proposal)

    def propose_key_destruction(self, version: str, *, etag: str = "", request_id: str = "") -> Proposal:
        """Proposes to have a version of a key destroyed; with an `etag`, only while it is the present one."""
        act = key_service_pb2.DestroyKeyVersionRequest(name=resource_name(version), etag=etag)
        return self.propose(pb.ProposedAct(destroy_key_version=act), request_id=request_id)

    def propose_critical_key(
        self,
        key_id: str,
        *,
        type: Union[KeyType, str],
        purpose: Union[KeyPurpose, str],
        algorithms: Iterable[Union[Algorithm, str]],
        content_encryptions: Iterable[Union[ContentEncryption, str]] = (),
        compression_allowed: bool = False,
        token: str = "",
        request_id: str = "",
    ) -> Proposal:
        """Proposes to make a key that is marked critical."""
        act = key_service_pb2.CreateKeyRequest(
            key_id=key_id,
            token=token,
            type=to_wire(KeyType, type),
            purpose=to_wire(KeyPurpose, purpose),
            algorithms=[to_wire(Algorithm, algorithm) for algorithm in algorithms],
            content_encryptions=[to_wire(ContentEncryption, value) for value in content_encryptions],
            compression_allowed=compression_allowed,
            critical=True,
        )
        return self.propose(pb.ProposedAct(create_key=act), request_id=request_id)

    def propose_policy(self, file: bytes, *, request_id: str = "") -> Proposal:
        """Proposes that exactly this policy file come into force."""
        act = pb.ChangePolicy(sha256=hashlib.sha256(file).hexdigest())
        return self.propose(pb.ProposedAct(change_policy=act), request_id=request_id)

    def get_proposal(self, proposal: Union[Proposal, str]) -> Proposal:
        """A proposal of the caller's, or one that the caller may approve."""
        request = pb.GetProposalRequest(name=_name(proposal))
        return _proposal(self._call(self.approvals.GetProposal, request).proposal)

    def list_proposals(self, page_size: int = 0, *, states: Iterable[str] = ()) -> Iterator[Proposal]:
        """Every proposal that the caller has made or may approve, the latest first; or those in one of these states."""
        numbers = [pb.ProposalState.Value("PROPOSAL_STATE_" + state.upper()) for state in states]
        page_token = ""
        while True:
            request = pb.ListProposalsRequest(page_size=page_size, page_token=page_token, states=numbers)
            page = self._call(self.approvals.ListProposals, request)
            yield from (_proposal(message) for message in page.proposals)
            page_token = page.next_page_token
            if not page_token:
                return

    def approve_proposal(self, proposal: Union[Proposal, str]) -> Proposal:
        """Approves what another has proposed."""
        request = pb.ApproveProposalRequest(name=_name(proposal))
        return _proposal(self._call(self.approvals.ApproveProposal, request).proposal)

    def withdraw_proposal(self, proposal: Union[Proposal, str]) -> Proposal:
        """Takes back a proposal of the caller's."""
        request = pb.WithdrawProposalRequest(name=_name(proposal))
        return _proposal(self._call(self.approvals.WithdrawProposal, request).proposal)

    def execute_proposal(self, proposal: Union[Proposal, str], *, wrapped_key: bytes = b"") -> Key:
        """Does what the caller has proposed and others have approved; once, however often it is asked for.

        Of an import, `wrapped_key` is what was proposed.
        """
        request = pb.ExecuteProposalRequest(name=_name(proposal), wrapped_key=wrapped_key)
        return wire.key(self._call(self.approvals.ExecuteProposal, request).key)


def _name(proposal: Union[Proposal, str]) -> str:
    name = proposal.name if isinstance(proposal, Proposal) else proposal
    return name if name.startswith("proposals/") else f"proposals/{name}"


def _proposal(message: pb.Proposal) -> Proposal:
    act = message.act.WhichOneof("act") or ""
    return Proposal(
        name=message.name,
        act=act,
        content=getattr(message.act, act) if act else None,
        wrapped_key_sha256=message.act.wrapped_key_sha256,
        state=pb.ProposalState.Name(message.state)[len("PROPOSAL_STATE_") :],
        author=message.author,
        approval=message.approval,
        required_approvals=message.required_approvals,
        given_approvals=tuple(
            GivenApproval(one.approver, wire.moment(one, "approve_time")) for one in message.given_approvals
        ),
        create_time=wire.moment(message, "create_time"),
        expire_time=wire.moment(message, "expire_time"),
        outcome=message.outcome,
    )
