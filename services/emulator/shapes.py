"""The shapes of everything a client may send: which message has which fields, and of what kind. Data, not code.

Names of messages are those of google-genai's types, and a test holds the table against these ([SDK]); what Google's
reference has beside them is here too ([DOC]). `fields` reads by this table, and refuses what is not in it.

A field is written ``name:kind``. A kind is one of

* ``string``, ``bool``, ``int``, ``float``, ``bytes`` (base64), or ``any`` (whatever JSON there is);
* ``struct``, an object that is not looked into: the client's own, or a tool that the emulator does not play;
* the name of an enumeration in `ENUMS`, or of a message in `SHAPES`;
* ``[kind]``, repeated, or ``{kind}``, a map by string.
"""

from collections.abc import Mapping
from typing import Final

SCALARS: Final = frozenset({"string", "bool", "int", "float", "bytes", "any", "struct"})
"""The kinds that are neither messages nor enumerations."""


def _fields(text: str) -> Mapping[str, str]:
    return dict(field.split(":") for field in text.split())


SHAPES: Final[Mapping[str, Mapping[str, str]]] = {
    name: _fields(fields)
    for name, fields in {
        # What comes over the socket.
        "LiveClientMessage": "setup:LiveClientSetup clientContent:LiveClientContent "
        "realtimeInput:LiveClientRealtimeInput toolResponse:LiveClientToolResponse "
        "contextUpdate:LiveClientContextUpdate",
        "LiveClientSetup": "model:string generationConfig:GenerationConfig systemInstruction:Content tools:[Tool] "
        "sessionResumption:SessionResumptionConfig contextWindowCompression:ContextWindowCompressionConfig "
        "inputAudioTranscription:AudioTranscriptionConfig outputAudioTranscription:AudioTranscriptionConfig "
        "proactivity:ProactivityConfig realtimeInputConfig:RealtimeInputConfig historyConfig:HistoryConfig "
        "explicitVadSignal:bool avatarConfig:AvatarConfig safetySettings:[SafetySetting] labels:{string}",
        "LiveClientContent": "turns:[Content] turnComplete:bool",
        "LiveClientRealtimeInput": "mediaChunks:[Blob] audio:Blob video:Blob text:string activityStart:ActivityStart "
        "activityEnd:ActivityEnd audioStreamEnd:bool",
        "LiveClientToolResponse": "functionResponses:[FunctionResponse]",
        "LiveClientContextUpdate": "systemInstruction:Content tools:LiveClientContextUpdateTools",
        "LiveClientContextUpdateTools": "tools:[Tool]",
        "ActivityStart": "",
        "ActivityEnd": "",
        # What comes over REST.
        "GenerateContentRequest": "model:string contents:[Content] systemInstruction:Content tools:[Tool] "
        "toolConfig:struct safetySettings:[SafetySetting] generationConfig:GenerationConfig cachedContent:string "
        "labels:{string} modelArmorConfig:struct serviceTier:string store:bool",
        # What a setup asks for.
        "GenerationConfig": "modelConfig:ModelSelectionConfig modelSelectionConfig:ModelSelectionConfig "
        "responseJsonSchema:any audioTimestamp:bool candidateCount:int enableAffectiveDialog:bool "
        "frequencyPenalty:float logprobs:int maxOutputTokens:int mediaResolution:MediaResolution "
        "presencePenalty:float responseLogprobs:bool responseMimeType:string responseModalities:[Modality] "
        "responseSchema:Schema routingConfig:struct seed:int speechConfig:SpeechConfig stopSequences:[string] "
        "temperature:float thinkingConfig:ThinkingConfig topK:float topP:float enableEnhancedCivicAnswers:bool "
        "responseFormat:[struct] translationConfig:TranslationConfig imageConfig:struct "
        "audioTranscriptionConfig:AudioTranscriptionConfig",
        "ModelSelectionConfig": "featureSelectionPreference:FeatureSelectionPreference",
        "SpeechConfig": "voiceConfig:VoiceConfig languageCode:string multiSpeakerVoiceConfig:MultiSpeakerVoiceConfig",
        "VoiceConfig": "replicatedVoiceConfig:ReplicatedVoiceConfig prebuiltVoiceConfig:PrebuiltVoiceConfig "
        "voice:string",
        "ReplicatedVoiceConfig": "mimeType:string voiceSampleAudio:bytes consentAudio:bytes "
        "voiceConsentSignature:VoiceConsentSignature",
        "VoiceConsentSignature": "signature:string",
        "PrebuiltVoiceConfig": "voiceName:string",
        "MultiSpeakerVoiceConfig": "speakerVoiceConfigs:[SpeakerVoiceConfig]",
        "SpeakerVoiceConfig": "speaker:string voiceConfig:VoiceConfig",
        "ThinkingConfig": "includeThoughts:bool thinkingBudget:int thinkingLevel:ThinkingLevel",
        "TranslationConfig": "echoTargetLanguage:bool targetLanguageCode:string",
        "SessionResumptionConfig": "handle:string transparent:bool",
        "ContextWindowCompressionConfig": "triggerTokens:int slidingWindow:SlidingWindow",
        "SlidingWindow": "targetTokens:int",
        "AudioTranscriptionConfig": "languageCodes:[string] languageAuto:LanguageAuto languageHints:LanguageHints "
        "customVocabulary:[string] adaptationPhrases:[string] wordTimestamp:bool diarization:bool "
        "mode:AudioTranscriptionConfigMode sourceText:string",
        "LanguageAuto": "",
        "LanguageHints": "languageCodes:[string]",
        "ProactivityConfig": "proactiveAudio:bool proactiveVideo:bool",
        "RealtimeInputConfig": "automaticActivityDetection:AutomaticActivityDetection "
        "activityHandling:ActivityHandling turnCoverage:TurnCoverage interimTranscriptTimestampEnabled:bool",
        "AutomaticActivityDetection": "disabled:bool startOfSpeechSensitivity:StartSensitivity "
        "endOfSpeechSensitivity:EndSensitivity prefixPaddingMs:int silenceDurationMs:int",
        "HistoryConfig": "initialHistoryInClientContent:bool",
        "AvatarConfig": "avatarName:string customizedAvatar:CustomizedAvatar audioBitrateBps:int videoBitrateBps:int",
        "CustomizedAvatar": "imageMimeType:string imageData:bytes",
        "SafetySetting": "category:HarmCategory method:HarmBlockMethod threshold:HarmBlockThreshold",
        # Tools; of those that are no functions the emulator only knows the names.
        "Tool": "functionDeclarations:[FunctionDeclaration] googleSearch:struct googleSearchRetrieval:struct "
        "googleMaps:struct codeExecution:struct computerUse:struct enterpriseWebSearch:struct exaAiSearch:struct "
        "fileSearch:struct mcpServers:[struct] parallelAiSearch:struct retrieval:struct urlContext:struct",
        "FunctionDeclaration": "name:string description:string parameters:Schema parametersJsonSchema:any "
        "response:Schema responseJsonSchema:any behavior:Behavior",
        "Schema": "additionalProperties:any defs:{Schema} ref:string anyOf:[Schema] default:any description:string "
        "enum:[string] example:any format:string items:Schema maxItems:int maxLength:int maxProperties:int "
        "maximum:float minItems:int minLength:int minProperties:int minimum:float nullable:bool pattern:string "
        "properties:{Schema} propertyOrdering:[string] required:[string] title:string type:Type",
        # What is said.
        "Content": "role:string parts:[Part]",
        "Part": "text:string inlineData:Blob fileData:FileData functionCall:FunctionCall "
        "functionResponse:FunctionResponse executableCode:ExecutableCode codeExecutionResult:CodeExecutionResult "
        "toolCall:ToolCall toolResponse:ToolResponse thought:bool thoughtSignature:bytes "
        "mediaResolution:PartMediaResolution videoMetadata:struct partMetadata:struct audioTranscription:struct "
        "mediaProcessing:MediaProcessing speechMetadata:struct documentMetadata:struct spreadsheetMetadata:struct "
        "audioMetadata:struct",
        "Blob": "data:bytes mimeType:string displayName:string",
        "FileData": "fileUri:string mimeType:string displayName:string",
        "FunctionCall": "id:string name:string args:struct partialArgs:[struct] willContinue:bool",
        "FunctionResponse": "id:string name:string response:struct parts:[FunctionResponsePart] willContinue:bool "
        "scheduling:FunctionResponseScheduling",
        "FunctionResponsePart": "inlineData:Blob fileData:FileData mediaProcessing:MediaProcessing "
        "mediaResolution:PartMediaResolution videoMetadata:struct documentMetadata:struct "
        "spreadsheetMetadata:struct audioMetadata:struct",
        "ExecutableCode": "id:string language:Language code:string",
        "CodeExecutionResult": "id:string outcome:Outcome output:string",
        "ToolCall": "id:string toolType:string args:struct",
        "ToolResponse": "id:string toolType:string response:struct",
        "PartMediaResolution": "level:PartMediaResolutionLevel numTokens:int",
    }.items()
}
"""The fields of each message, by its name and theirs in camelCase."""

VERTEX_ONLY: Final = frozenset({("SessionResumptionConfig", "transparent")})
"""What is an unknown name on the Developer API [OBS]. Other fields that only one API knows are taken by both [?]."""

ENUMS: Final[Mapping[str, frozenset[str]]] = {
    name: frozenset(values.split())
    for name, values in {
        "ActivityHandling": "ACTIVITY_HANDLING_UNSPECIFIED START_OF_ACTIVITY_INTERRUPTS NO_INTERRUPTION",
        "AudioTranscriptionConfigMode": "MODE_UNSPECIFIED VERBATIM SMART",
        "Behavior": "UNSPECIFIED BLOCKING NON_BLOCKING",
        "EndSensitivity": "END_SENSITIVITY_UNSPECIFIED END_SENSITIVITY_HIGH END_SENSITIVITY_LOW",
        "FeatureSelectionPreference": "FEATURE_SELECTION_PREFERENCE_UNSPECIFIED PRIORITIZE_QUALITY BALANCED "
        "PRIORITIZE_COST",
        "FunctionResponseScheduling": "SCHEDULING_UNSPECIFIED SILENT WHEN_IDLE INTERRUPT",
        "HarmBlockMethod": "HARM_BLOCK_METHOD_UNSPECIFIED SEVERITY PROBABILITY",
        "HarmBlockThreshold": "HARM_BLOCK_THRESHOLD_UNSPECIFIED BLOCK_LOW_AND_ABOVE BLOCK_MEDIUM_AND_ABOVE "
        "BLOCK_ONLY_HIGH BLOCK_NONE OFF",
        "HarmCategory": "HARM_CATEGORY_UNSPECIFIED HARM_CATEGORY_HARASSMENT HARM_CATEGORY_HATE_SPEECH "
        "HARM_CATEGORY_SEXUALLY_EXPLICIT HARM_CATEGORY_DANGEROUS_CONTENT HARM_CATEGORY_CIVIC_INTEGRITY "
        "HARM_CATEGORY_JAILBREAK HARM_CATEGORY_IMAGE_HATE HARM_CATEGORY_IMAGE_DANGEROUS_CONTENT "
        "HARM_CATEGORY_IMAGE_HARASSMENT HARM_CATEGORY_IMAGE_SEXUALLY_EXPLICIT",
        "Language": "LANGUAGE_UNSPECIFIED PYTHON",
        "MediaProcessing": "MEDIA_PROCESSING_UNSPECIFIED STATIC AGENTIC",
        "MediaResolution": "MEDIA_RESOLUTION_UNSPECIFIED MEDIA_RESOLUTION_LOW MEDIA_RESOLUTION_MEDIUM "
        "MEDIA_RESOLUTION_HIGH",
        "Modality": "MODALITY_UNSPECIFIED TEXT IMAGE AUDIO VIDEO",
        "Outcome": "OUTCOME_UNSPECIFIED OUTCOME_OK OUTCOME_FAILED OUTCOME_DEADLINE_EXCEEDED",
        "PartMediaResolutionLevel": "MEDIA_RESOLUTION_UNSPECIFIED MEDIA_RESOLUTION_LOW MEDIA_RESOLUTION_MEDIUM "
        "MEDIA_RESOLUTION_HIGH MEDIA_RESOLUTION_ULTRA_HIGH",
        "StartSensitivity": "START_SENSITIVITY_UNSPECIFIED START_SENSITIVITY_HIGH START_SENSITIVITY_LOW",
        "ThinkingLevel": "THINKING_LEVEL_UNSPECIFIED MINIMAL LOW MEDIUM HIGH XHIGH",
        "TurnCoverage": "TURN_COVERAGE_UNSPECIFIED TURN_INCLUDES_ONLY_ACTIVITY TURN_INCLUDES_ALL_INPUT "
        "TURN_INCLUDES_AUDIO_ACTIVITY_AND_ALL_VIDEO",
        "Type": "TYPE_UNSPECIFIED STRING NUMBER INTEGER BOOLEAN ARRAY OBJECT NULL",
    }.items()
}
"""The values of each enumeration."""

_BESIDE_DATA: Final = frozenset(name for name in SHAPES["Part"] if name.endswith(("Metadata", "Resolution"))) | {
    "thought",
    "thoughtSignature",
    "audioTranscription",
    "mediaProcessing",
}
ONEOFS: Final[Mapping[str, tuple[str, frozenset[str]]]] = {
    "LiveClientMessage": ("message_type", frozenset(SHAPES["LiveClientMessage"])),
    "LiveClientRealtimeInput": ("input", frozenset(SHAPES["LiveClientRealtimeInput"])),
    "Part": ("data", frozenset(SHAPES["Part"]) - _BESIDE_DATA),
}
"""Fields of which a message has one at most, and the group's name; that live input is such a group, the SDK says."""
