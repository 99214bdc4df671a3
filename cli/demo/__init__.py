"""The demo: the main job of the system, on real data, through boto3 as any user of Personalize would."""
