"""Messages of the contract written as Personalize's JSON, in which tests are easier to read."""

from __future__ import annotations

from protos.tailorbird.control.v1.campaign_pb2 import CampaignConfig
from protos.tailorbird.control.v1.recommender_pb2 import RecommenderConfig
from protos.tailorbird.control.v1.solution_config_pb2 import SolutionConfig
from protos.tailorbird.options.v1 import options_pb2


def filled(message, document):
    """Return a message with the members of a document; lists and maps that are empty there are named as such."""
    fields = {field.json_name: field for field in message.DESCRIPTOR.fields}
    for key, value in document.items():
        field = fields[key]
        target = getattr(message, field.name)
        if field.is_repeated and not value:
            message.empty_members.append(key)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            for name, item in value.items():
                if isinstance(item, (list, tuple)):
                    target[name].values.extend(item)
                else:
                    target[name] = item
        elif field.is_repeated and field.message_type is not None:
            for item in value:
                filled(target.add(), item)
        elif field.is_repeated:
            target.extend(value)
        elif field.message_type is not None:
            target.SetInParent()
            filled(target, value)
        elif field.enum_type is not None:
            texts = {one.GetOptions().Extensions[options_pb2.aws_value]: one.number for one in field.enum_type.values}
            setattr(message, field.name, texts[value])
        else:
            setattr(message, field.name, value)
    return message


def solution_config(document) -> SolutionConfig:
    return filled(SolutionConfig(), document)


def campaign_config(document) -> CampaignConfig:
    return filled(CampaignConfig(), document)


def recommender_config(document) -> RecommenderConfig:
    return filled(RecommenderConfig(), document)
